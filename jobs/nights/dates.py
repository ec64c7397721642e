"""A job's `{date}`, settled once for each run."""

from __future__ import annotations

from datetime import datetime, timezone

from jobs.config.job import Job
from jobs.nights.night import DATE


def settled(job: Job, now: datetime | None = None) -> Job:
    """The job with its night noted: the same one wherever and however long it runs from here on."""
    if DATE not in job.prompts + job.output:
        return job
    night = job.night.model_copy(update={"date": job.night.at(now or datetime.now(timezone.utc))})
    return job.model_copy(update={"night": night})


def dated(job: Job, now: datetime | None = None) -> Job:
    """The job with the date of its night in its paths."""
    job = settled(job, now)
    date = job.night.date or ""
    return job.model_copy(update={"prompts": job.prompts.replace(DATE, date), "output": job.output.replace(DATE, date)})
