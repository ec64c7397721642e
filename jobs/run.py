"""A job from first check to last figure; composes only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from ray.exceptions import RayError
from rich.console import Console

from jobs import cluster, identity, manifest, media, metrics, models, prompts, storage
from jobs.config import Job, Model
from jobs.errors import JobFailed, Refused, last_line, redact, refusing
from jobs.ids import contains
from jobs.logs import log_model
from jobs.paths import Output, packaged
from jobs.pipeline import Planner, run_model
from jobs.plan import Digests
from jobs.progress import Tally, follow
from jobs.prompts import Shard
from jobs.runs import Tags, current_run
from jobs.statistics import COLUMNS, Statistics, per_model
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
    _check_output(job)
    works = _check(job, shards)
    todo = [work for work in works if work.pending]
    _say(console, f"{job.name}: {sum(work.pending for work in todo):,} rows to do, output {storage.public(job.output)}")
    try:
        runs = _run(job, shards, todo, console) if todo else {}
    except JobFailed:
        # What was written counts; that it can't be counted must not hide what ended the job.
        with suppress(Exception):
            console.print(_summary(job, {}).table())
        raise
    summary = _summary(job, runs)
    for work in todo:
        _check_readable(job, work, summary)
    return summary


def _summary(job: Job, runs: dict[str, Tally]) -> Summary:
    """What the output holds by now, also written there."""
    models = per_model(manifest.read_batches(Output(url=job.output), COLUMNS))
    summary = Summary(job=job.name, models=models, runs=runs, price_per_hour=job.price_per_hour, alarm=job.alarm)
    storage.write(Output(url=job.output).stats, summary.to_json().encode())
    storage.write(Output(url=job.output).stats_table, summary.to_parquet())
    return summary


def _check_readable(job: Job, work: Work, summary: Summary) -> None:
    """Workers wrote, this process reads: on a folder that each node has for itself these are not the same files."""
    there = summary.models.get(work.model.name, Statistics())
    lost = len(work.tried) + work.pending - there.done - there.failed
    if lost > 0:
        raise JobFailed(
            f"model {work.model.name}: {lost:,} written rows can't be read back from {storage.public(job.output)}; "
            "is it shared by all nodes?"
        )


def _say(console: Console, line: str) -> None:
    """As it is: brackets in a path are no markup, and a log has no width."""
    console.print(line, markup=False, soft_wrap=True, highlight=False)


def _check_output(job: Job) -> None:
    output = Output(url=job.output)
    for folder in (output.manifest, output.failed):
        if prompts.would_read(job.prompts, storage.join(folder, "0.parquet")):
            raise Refused(
                f"output: the next run would read {storage.public(folder)} as prompts, for it lies in "
                f"{redact(job.prompts)}; give an --output elsewhere"
            )


def _with_absolute_paths(job: Job) -> Job:
    with refusing("prompts or output: no such storage"):
        inputs = job.prompts if packaged(job.prompts) != job.prompts else storage.absolute(job.prompts)
        output = storage.absolute(job.output)
        for name, url in (("prompts", inputs), ("output", output)):
            if storage.in_memory(packaged(url)):
                raise Refused(f"{name}: {url} is this process's memory, which no worker sees; give a folder or URL")
    if _RAY_COPY in output:
        raise Refused(f"output: {job.output} would be in Ray's temporary copy of this folder; give a full path or URL")
    return job.model_copy(update={"prompts": inputs, "output": output})


def _check(job: Job, shards: Sequence[Shard]) -> list[Work]:
    """Everything that can be refused without an actor."""
    columns = {column for shard in shards for column in shard.columns}
    calls = {model.name: models.check(model, job.generation, columns) for model in job.each_model}
    media.check(job, {name: call.makes_videos for name, call in calls.items()})
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
    run = current_run(job.name)
    with cluster.joined(job.log_format) as fixed:
        job = job.model_copy(update={"actors": cluster.fit(job.actors, fixed=fixed)})
        if lacking := cluster.shortage(job.actors):
            _say(console, lacking)
        return {work.model.name: _run_one(job, shards, work, run, console) for work in works}


def _run_one(job: Job, shards: Sequence[Shard], work: Work, run: str, console: Console) -> Tally:
    tags = Tags(run=run, model=work.model.name)
    log_model("model begins", tags, pending=work.pending)
    batches = run_model(job, work.model, work.planner, shards, work.tried, run)
    try:
        tally = follow(metrics.watch(batches, tags, work.pending), work.model.name, work.pending, console)
    except RayError as error:
        raise JobFailed(f"model {work.model.name}: {last_line(error)}") from error
    log_model("model ends", tags, done=tally.done, failed=tally.failed, seconds=tally.seconds)
    if tally.rows != work.pending:
        raise JobFailed(f"model {work.model.name}: {work.pending - tally.rows} rows were lost; run the job again")
    return tally
