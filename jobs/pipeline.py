"""One model's way through Ray Data: prompts -> plan -> generate -> encode and upload -> manifest."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.util.annotations import RayDeprecationWarning

from jobs import metrics
from jobs.audit import kept_share
from jobs.config import Generation, Job, Model
from jobs.encode import encode_batch
from jobs.generate import Generate
from jobs.logs import log_rows
from jobs.manifest import write_batch
from jobs.media import settled
from jobs.paths import Output
from jobs.plan import Digests, fill, pending
from jobs.prompts import Piece, Shard, pieces, read_piece
from jobs.rows import Written
from jobs.runs import Tags

_RETRIES_PER_BATCH = 2
_BATCHES_PER_ACTOR = 2  # One in work, one waiting: the actor is never without.


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """What turns prompts into the samples of one model; the same in every reading task."""

    prompts: str
    generation: Generation
    accepted: frozenset[str]
    """Arguments that the model's pipeline takes."""
    seed: int


def run_model(
    job: Job, model: Model, planner: Planner, shards: Sequence[Shard], done: Digests, run: str
) -> Iterator[Written]:
    """Make what is missing; yields as each batch is written. The driver holds pieces and counts, never rows."""
    _settle_context()
    batches = _dataset(job, model, planner, shards, done, run).iter_batches(batch_size=None, batch_format="pyarrow")
    for batch in batches:
        assert isinstance(batch, pa.Table)
        yield from (Written(**counts) for counts in batch.to_pylist())


def _dataset(
    job: Job, model: Model, planner: Planner, shards: Sequence[Shard], done: Digests, run: str
) -> ray.data.Dataset:
    output = Output(url=job.output)
    tags = Tags(run=run, model=model.name)
    shared = ray.put(done)
    files = settled(job.media, video="num_frames" in planner.accepted)
    keep = kept_share(job.audit.keep, sum(shard.num_rows for shard in shards), job.audit.fraction)

    def plan(sources: Any) -> Iterator[pa.Table]:
        tried: Digests = ray.get(shared)
        for source in sources.to_pylist():
            for prompts in read_piece(planner.prompts, Piece(**source)):
                yield fill(pending(prompts, tried), planner.generation, planner.accepted, planner.seed)

    def finish(made: Any) -> pa.Table:
        with metrics.timed("encode", tags):
            rows = encode_batch(made, output, files, keep)
        with metrics.timed("write", tags):
            written = write_batch(rows, output)
        log_rows(rows, tags)
        return written

    sources = [asdict(piece) for piece in pieces(shards)]
    samples = ray.data.from_items(sources, override_num_blocks=len(sources)).map_batches(
        plan, batch_size=1, batch_format="pyarrow"
    )
    # Blocks of one batch each: what a kill loses is a batch, and no call is smaller than it could be.
    batches = samples.repartition(target_num_rows_per_block=job.actors.batch_size, strict=True)
    return _generated(batches, job, model, run).map_batches(finish, batch_size=None, batch_format="pyarrow")


def _generated(batches: ray.data.Dataset, job: Job, model: Model, run: str) -> ray.data.Dataset:
    actors = job.actors
    with warnings.catch_warnings():
        # Ray 2.60 has no other way to bound the retries of a batch that kills its actor.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return batches.map_batches(
            Generate,
            batch_size=actors.batch_size,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=actors.count, max_tasks_in_flight_per_actor=_BATCHES_PER_ACTOR),
            num_cpus=actors.num_cpus,
            num_gpus=actors.num_gpus,
            fn_constructor_kwargs={
                "model": model,
                "generation": job.generation,
                "actors": actors,
                "audit_fraction": job.audit.fraction,
                "run": run,
            },
            max_task_retries=_RETRIES_PER_BATCH,
        )


def _settle_context() -> None:
    context = ray.data.DataContext.get_current()
    # Batches are then a function of the prompts, not of which reading task was first.
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    # A slow model load or a long video is not a hang.
    context.execution_no_progress_timeout_s = -1
    context.raise_original_map_exception = True
    # What ends a job is told in one line; its traceback stands in Ray's own log of the actor.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
