"""Reports of outputs by their URLs, written where they are wanted."""

from __future__ import annotations

from jobs import storage
from jobs.accounting.recount import recounted
from jobs.errors import Refused, redact, refusing
from jobs.paths import Output
from jobs.report.compare import Side, comparison
from jobs.report.single import report


def reported(url: str, to: str | None = None) -> str:
    """Write the report of one output, beside its manifest if nothing else is said. Gives its public URL."""
    output = _output(url)
    return _written(report(output, recounted(output)), to or output.report)


def compared(url: str, other: str, to: str) -> str:
    """Write what differs between two outputs, each URL or URL#MODEL. Gives the page's public URL."""
    return _written(comparison(_side(url), _side(other)), to)


def _side(url: str) -> Side:
    place, mark, model = url.partition("#")
    output = _output(place)
    stats = recounted(output)
    models = stats["models"]
    if mark and model not in models:
        raise Refused(f"{redact(url)}: no model {model} there; it has {', '.join(models)}")
    return Side(output=output, models={model: models[model]} if mark else models, job=stats["job"])


def _output(url: str) -> Output:
    with refusing(f"{url}: no such storage"):
        return Output(url=storage.absolute(url))


def _written(html: str, url: str) -> str:
    with refusing(f"can't write {url}"):
        storage.write(storage.absolute(url), html.encode())
        return storage.public(storage.absolute(url))
