"""Reports of outputs by their URLs, written where they are wanted."""

from __future__ import annotations

from jobs import storage
from jobs.errors import refusing
from jobs.paths import Output
from jobs.recount import recounted
from jobs.report.single import report


def reported(url: str, to: str | None = None) -> str:
    """Write the report of one output, beside its manifest if nothing else is said. Gives its public URL."""
    output = _output(url)
    return _written(report(output, recounted(output)), to or output.report)


def _output(url: str) -> Output:
    with refusing(f"{url}: no such storage"):
        return Output(url=storage.absolute(url))


def _written(html: str, url: str) -> str:
    with refusing(f"can't write {url}"):
        storage.write(storage.absolute(url), html.encode())
        return storage.public(storage.absolute(url))
