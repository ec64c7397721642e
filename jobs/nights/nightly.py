"""The end of a nightly job: its run among those of other nights, and which limits it passed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from jobs import storage
from jobs.config.job import Job
from jobs.errors import JobFailed, Refused
from jobs.nights.dates import dated
from jobs.nights.history import NightlyRun, alarms, nightly_runs
from jobs.nights.night import folder_of_nights
from jobs.report.over_time import show


def look_back(job: Job, console: Console) -> list[str]:
    """Show the nights up to the job's own, as text and as history.html beside them; gives what rings.

    Nothing for a job that is not nightly. Raises JobFailed where it can't be done: no alarm is not a good night.
    """
    folder = folder_of_nights(job.output)
    if folder is None:
        return []
    try:
        runs = nightly_runs(folder)
        until = [night.place for night in runs].index(_place(job, folder)) + 1
        rung = alarms(runs[:until], job.alarm)
        show(runs[:until], rung, folder, storage.join(folder, "history.html"), console)
    except (Refused, ValueError) as error:
        raise JobFailed(f"all rows were tried, but the nights could not be looked at: {error}") from None
    return rung


def missing(job: Job, runs: Sequence[NightlyRun]) -> list[str]:
    """A sentence if the night that is due, or that the job names, left no run. None for a job that is not nightly."""
    folder = folder_of_nights(job.output)
    if folder is None:
        return []
    due = _place(job, folder)
    there = [night.place for night in runs]
    return [] if due in there else [f"there is no run {due}, the latest is {there[-1]}"]


def tolerated(job: Job, failed: int) -> bool:
    """Whether failed rows are no failure: those of a nightly job that says how many may be."""
    return not failed or (folder_of_nights(job.output) is not None and job.alarm.max_failure_rate is not None)


def _place(job: Job, folder: str) -> str:
    """The run's folder, as `history` names it."""
    return dated(job).output.removeprefix(folder).strip("/")
