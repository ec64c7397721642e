"""`python -m jobs show`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from jobs.exits import DONE, SOME_FAILED, ending


def show(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="A job's output; any fsspec URL.")],
    row_id: Annotated[str, typer.Argument(metavar="ID", help="Of the row.")],
    model: Annotated[str | None, typer.Option(help="Of which model; without it, of each that has the row.")] = None,
    again: Annotated[str | None, typer.Option(metavar="FILE", help="Generate it once more, into this file.")] = None,
) -> None:
    """Print a row of the manifest, its picture where the terminal can, and the command that makes it again.

    With --again that is done here, without a cluster: the row's pipeline call is repeated with the settings noted in
    the output, and the result compared with what the manifest says. On the same kind of machine with the same
    versions it is the same to the byte.

    Exit codes: 0, 1 if --again made other bytes, 2 if there is no such row.
    """
    # What it says about optional packages on import is not about this row.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    console = Console()
    with ending():
        from jobs.again import find_rows
        from jobs.errors import Refused
        from jobs.paths import Output
        from jobs.show import make, shown
        from jobs.storage import absolute

        place = Output(url=absolute(output))
        rows = find_rows(place, row_id, model)
        if again and len(rows) > 1:
            raise Refused(f"models {', '.join(row.model for row in rows)} have this row; pick one by --model")
        if again:
            same = make(rows[0], place, again, console)
            raise typer.Exit(DONE if same else SOME_FAILED)
        for row in rows:
            shown(row, place, output, console)
