"""`python -m jobs report`."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.exits import ending


def report(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="A job's output; any fsspec URL.")],
    other: Annotated[str | None, typer.Argument(metavar="OTHER", help="Another one, to compare it with.")] = None,
    to: Annotated[str | None, typer.Option(help="Where to write it; any fsspec URL.")] = None,
) -> None:
    """Write one HTML file that tells what a job did: report.html in its output, or where --to says.

    With two outputs the file compares them model by model: compare.html here, or where --to says. OUTPUT#MODEL
    picks one model, so two models of one output can be compared: `report out#flux out#flux-uncached`.
    """
    with ending():
        from jobs.report.write import compared, reported

        typer.echo(compared(output, other, to or "compare.html") if other else reported(output, to))
