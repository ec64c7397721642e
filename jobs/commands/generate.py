"""`python -m jobs generate`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from jobs.commands.job_arguments import JobArguments
from jobs.exits import DONE, SOME_FAILED, ending

RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Make the rows that failed, and no others.")]


def generate(arguments: JobArguments = None, retry_failed: RetryFailed = False) -> None:
    """Make a picture for every prompt that was not tried yet, and a table of what that came to.

    Without a job file a packaged demo runs: --model flux or lumina2. The same command again goes on
    with the rows that are missing. Rows that failed are tried again with --retry-failed, or when their prompt was
    edited. Ctrl-C and SIGTERM let the batches in hand be finished and written; a second one does not.

    Exit codes: 0 all rows are done, 1 some failed or the job ended early,
    2 the input was refused before any actor started, 130 interrupted.
    """
    # What it says about optional packages on import is not about this job.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    console = Console()
    with ending(interrupted="interrupted; the same command goes on from here"):
        from jobs.load import load_job
        from jobs.run import generate as run

        summary = run(load_job(arguments or []), console, retry_failed=retry_failed)
    console.print(summary.table())
    raise typer.Exit(SOME_FAILED if summary.failed else DONE)
