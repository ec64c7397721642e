"""A job from first check to last figure; composes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ray.exceptions import RayError
from rich.console import Console

from jobs import cluster, identity, manifest, models, prompts, storage
from jobs.config import Job, Model
from jobs.errors import JobFailed, Refused, last_line, refusing
from jobs.ids import contains
from jobs.paths import Output, packaged
from jobs.pipeline import Planner, run_model
from jobs.plan import Digests
from jobs.progress import Tally, follow
from jobs.prompts import Shard
from jobs.statistics import COLUMNS, per_model
from jobs.summary import Summary

_RAY_COPY = "/runtime_resources/working_dir_files/"
"""Where a job runs after `ray job submit --working-dir`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is left to do for one model."""

    model: Model
    planner: Planner
    tried: Digests
    pending: int


def generate(job: Job, console: Console) -> Summary:
    """Make every picture that is missing, and say what the job came to.

    Raises Refused before any actor starts, JobFailed if the job ends before all rows were tried.
    """
    job = _with_absolute_paths(job)
    shards = prompts.find_shards(job.prompts)
    works = _check(job, shards)
    todo = [work for work in works if work.pending]
    console.print(f"{job.name}: {sum(work.pending for work in todo):,} rows to do, output {storage.public(job.output)}")
    runs = _run(job, shards, todo, console) if todo else {}
    summary = Summary(
        job=job.name,
        models=per_model(manifest.read_batches(Output(url=job.output), COLUMNS)),
        runs=runs,
        price_per_hour=job.price_per_hour,
    )
    storage.write(Output(url=job.output).stats, summary.to_json().encode())
    return summary


def _with_absolute_paths(job: Job) -> Job:
    with refusing("prompts or output: no such storage"):
        inputs = job.prompts if packaged(job.prompts) != job.prompts else storage.absolute(job.prompts)
        output = storage.absolute(job.output)
    if _RAY_COPY in output:
        raise Refused(f"output: {job.output} would be in Ray's temporary copy of this folder; give a full path or URL")
    return job.model_copy(update={"prompts": inputs, "output": output})


def _check(job: Job, shards: Sequence[Shard]) -> list[Work]:
    """Everything that can be refused without an actor."""
    columns = {column for shard in shards for column in shard.columns}
    calls = {model.name: models.check(model, job.generation, columns) for model in job.each_model}
    ids = prompts.check_ids(job.prompts, shards)
    identity.claim(job)
    works = []
    for model in job.each_model:
        tried = manifest.tried_ids(Output(url=job.output), model.name)
        planner = Planner(
            prompts=job.prompts, generation=job.generation, accepted=calls[model.name].accepted, seed=job.seed
        )
        pending = int(np.count_nonzero(~contains(tried, ids)))
        works.append(Work(model=model, planner=planner, tried=tried, pending=pending))
    return works


def _run(job: Job, shards: Sequence[Shard], works: Sequence[Work], console: Console) -> dict[str, Tally]:
    with cluster.joined() as fixed:
        job = job.model_copy(update={"actors": cluster.fit(job.actors, fixed=fixed)})
        return {work.model.name: _run_one(job, shards, work, console) for work in works}


def _run_one(job: Job, shards: Sequence[Shard], work: Work, console: Console) -> Tally:
    batches = run_model(job, work.model, work.planner, shards, work.tried)
    try:
        tally = follow(batches, work.model.name, work.pending, console)
    except RayError as error:
        raise JobFailed(f"model {work.model.name}: {last_line(error)}") from error
    if tally.rows != work.pending:
        raise JobFailed(f"model {work.model.name}: {work.pending - tally.rows} rows were lost; run the job again")
    return tally
