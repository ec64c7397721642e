"""Everything that can be refused before a job takes its output or an actor."""

from __future__ import annotations

from dataclasses import dataclass

from jobs import storage
from jobs.actors import models
from jobs.config import storage_options
from jobs.config.job import Job
from jobs.errors import Refused, redact, refusing
from jobs.media import codecs
from jobs.nights.dates import dated
from jobs.paths import Output, packaged
from jobs.pipeline import Planner
from jobs.prompts.places import would_read
from jobs.prompts.scan import Scan, scan
from jobs.prompts.shards import check_readable, find_shards

_RAY_COPY = "/runtime_resources/working_dir_files/"
"""Where a job runs after `ray job submit --working-dir`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A job that fits its prompts and models."""

    job: Job
    """With absolute paths."""
    scan: Scan
    planners: dict[str, Planner]
    """By name of the model."""


def checked(job: Job) -> Checked:
    """Raises Refused. Ids that stand twice are left to the caller."""
    storage_options.use(job.storage_options)
    job = _with_absolute_paths(dated(job))
    shards = find_shards(job.prompts, samples=job.generation.samples, skip_unreadable=job.skip_unreadable_shards)
    _check_output(job)
    columns = {column for shard in shards for column in shard.columns}
    calls = {model.name: models.check(model, job.generation, columns) for model in job.each_model}
    codecs.check(job, {name: call.makes_videos for name, call in calls.items()})
    found = scan(job.prompts, shards)
    check_readable(found.shards, skip_unreadable=job.skip_unreadable_shards)
    planners = {
        name: Planner(prompts=job.prompts, generation=job.generation, accepted=call.accepted, seed=job.seed)
        for name, call in calls.items()
    }
    return Checked(job=job, scan=found, planners=planners)


def _check_output(job: Job) -> None:
    output = Output(url=job.output)
    for folder in (output.manifest, output.failed):
        if would_read(job.prompts, storage.join(folder, "0.parquet")):
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
