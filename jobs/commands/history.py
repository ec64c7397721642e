"""`python -m jobs history`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from jobs.exits import ALARM, ending


def history(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="The folder above the outputs of several runs; any fsspec URL.")
    ],
    job: Annotated[
        str | None, typer.Option(help="A job's YAML, for its alarm limits and its night; else the run's own limits.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Write it as an HTML page too; any fsspec URL.")] = None,
) -> None:
    """Show nightly runs over time, and say what the latest changed beyond noise.

    The alarm rings when the latest run passed a limit that its YAML gives under `alarm`, such as
    `alarm: {min_speedup: 1.5, max_failure_rate: 0.01, min_psnr: 35, min_rows_per_second: 2}`. With the --job of a
    nightly output (`output: FOLDER/{date}`) it also rings when the night that is due left no run.

    Exit codes: 0, 2 there is no run, 3 the alarm rings.
    """
    console = Console()
    with ending():
        from jobs.config import storage_options
        from jobs.config.load import load_job
        from jobs.nights.history import alarms, nightly_runs
        from jobs.nights.nightly import missing
        from jobs.report.over_time import show

        limits = load_job([job]) if job else None
        storage_options.use(limits.storage_options if limits else {})
        runs = nightly_runs(folder)
        rung = [*(missing(limits, runs) if limits else ()), *alarms(runs, limits.alarm if limits else None)]
        show(runs, rung, folder, to, console)
    raise typer.Exit(ALARM if rung else 0)
