"""`python -m jobs plan`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from jobs.commands.job_arguments import JobArguments
from jobs.exits import DONE, REFUSED, ending

Earlier = Annotated[
    str, typer.Option("--earlier", metavar="OUTPUT", help="Output of another job to estimate from; else this one's.")
]


def plan(arguments: JobArguments = None, earlier: Earlier = "") -> None:
    """Say what generate would do, before any GPU is taken: rows by state, shapes, hours, cost, room.

    Nothing is written and no actor starts. Exit codes: 0 the job can run, 2 it would be refused.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    console = Console()
    with ending():
        from jobs.config.load import load_job
        from jobs.outlook import outlook

        found = outlook(load_job(arguments or []), earlier=earlier or None)
    console.print(found.table())
    for line in found.lines():
        console.print(line, markup=False, soft_wrap=True, highlight=False)
    raise typer.Exit(REFUSED if found.refusals else DONE)
