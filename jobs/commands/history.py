"""`python -m jobs history`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from jobs.exits import ALARM, ending


def history(
    folder: Annotated[str, typer.Argument(help="The folder above the outputs of several runs; any fsspec URL.")],
    job: Annotated[str | None, typer.Option(help="A job's YAML, for its alarm limits; else those of the run.")] = None,
    to: Annotated[str | None, typer.Option(help="Write it as an HTML page too; any fsspec URL.")] = None,
) -> None:
    """Show nightly runs over time, and say what the latest changed beyond noise.

    Exit codes: 0, or 3 when the latest run passed a limit that its YAML gives under `alarm`, such as
    `alarm: {min_speedup: 1.5, max_failure_rate: 0.01, min_psnr: 35, min_rows_per_second: 2}`.
    """
    console = Console()
    with ending():
        from jobs.history import alarms, nights
        from jobs.load import load_job
        from jobs.report.over_time import told, written

        limits = load_job([job]).alarm if job else None
        runs = nights(folder)
        rung = alarms(runs, limits)
        for part in told(runs):
            console.print(part)
        if to:
            console.print(f"page: {written(runs, rung, folder, to)}", markup=False, soft_wrap=True, highlight=False)
        for sentence in rung:
            console.print(f"alarm: {sentence}", style="bold red", markup=False, soft_wrap=True, highlight=False)
    raise typer.Exit(ALARM if rung else 0)
