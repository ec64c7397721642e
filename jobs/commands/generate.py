"""`python -m jobs generate`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from jobs.commands.job_arguments import JobArguments
from jobs.exits import ALARM, DONE, SOME_FAILED, ending

RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Make the rows that failed, and no others.")]


def generate(arguments: JobArguments = None, retry_failed: RetryFailed = False) -> None:
    """Make a picture for every prompt that was not tried yet, and a table of what that came to.

    Without a job file a packaged demo runs: --model flux, lumina2, cogvideox or mochi (the last two make mp4
    videos). The same command again goes on with the rows that are missing. Rows that failed are tried again with
    --retry-failed, or when their prompt was edited. Ctrl-C and SIGTERM let the batches in hand be finished and
    written; a second one does not.

    A nightly job has `output: FOLDER/{date}`, and {date} in its prompts where wanted: the day on which the night
    began. With `night: {begins: "21:00", timezone: Europe/Berlin}` a night lasts until 21:00 of the next day, and all
    that is tried until then goes on in the same folder; --night.date 2026-11-22 names another one. At its end the job
    shows the nights in FOLDER, as `history` does, and keeps FOLDER/history.html.

    Exit codes: 0 all rows are done, 1 some failed, were never tried, or the job ended early, 2 the input was refused
    before any actor started, 130 interrupted. Of a nightly job also 3: all rows were tried, and a limit under `alarm`
    is passed; failed rows within its max_failure_rate are code 0.
    """
    # What it says about optional packages on import is not about this job.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    console = Console()
    with ending(interrupted="interrupted; the same command goes on from here"):
        from jobs.config.load import load_job
        from jobs.nights.dates import settled
        from jobs.nights.nightly import look_back, tolerated
        from jobs.run import generate as run

        job = settled(load_job(arguments or []))
        summary = run(job, console, retry_failed=retry_failed)
        console.print(summary.table())
        rung = look_back(job, console)
    if rung:
        raise typer.Exit(ALARM)
    raise typer.Exit(DONE if tolerated(job, summary.failed) else SOME_FAILED)
