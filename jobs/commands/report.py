"""`python -m jobs report`."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.exits import ending


def report(
    output: Annotated[str, typer.Argument(help="A job's output; any fsspec URL.")],
    to: Annotated[str | None, typer.Option(help="Where to write it; any fsspec URL.")] = None,
) -> None:
    """Write one HTML file that tells what a job did: report.html in its output, or where --to says."""
    with ending():
        from jobs.report.write import reported

        typer.echo(reported(output, to))
