"""One model's way through Ray Data: prompts -> plan -> generate, encode, upload and note."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.util.annotations import RayDeprecationWarning

from jobs.accounting.audit import kept_share
from jobs.actors.actor import Actor, Setup, failed
from jobs.actors.batches import ending, form, packed, unpacked
from jobs.actors.spool import Spool
from jobs.config import storage_options
from jobs.config.job import Generation, Job
from jobs.config.model import Model
from jobs.errors import describe
from jobs.media.codecs import settled
from jobs.media.finish import Finish, nothing
from jobs.output.lease import Glance
from jobs.paths import Output
from jobs.prompts.plan import Digests, fill, samples, wanted
from jobs.prompts.reading import Piece, portions, read_piece
from jobs.prompts.shards import Shard
from jobs.rows import Sample, Written, table
from jobs.runs import Tags

_DIED = "ActorDied: an actor died twice while making this row"
_BEGUN_PER_ACTOR = 2
"""One batch is generated while the one before is encoded and uploaded."""

_BATCHES_PER_ACTOR = _BEGUN_PER_ACTOR + 1  # And one that waits: the actor is never without.
_DEATHS = 64
_DEATHS_PER_ACTOR = 16
_DEATHS_PER_BATCH = 0.01


class Try(Enum):
    """How rows are tried: with others; then, those whose actor died, each on its own; then they have failed."""

    TOGETHER = "together"
    ALONE = "alone"
    NO_MORE = "no more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """What turns prompts into the samples of one model; the same in every planning task."""

    prompts: str
    generation: Generation
    accepted: frozenset[str]
    """Arguments that the model's pipeline takes."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One model's part of a job."""

    job: Job
    model: Model
    planner: Planner
    shards: Sequence[Shard]
    lease: str
    """Whose turn it is to write to the output."""
    run: str
    spool: Spool

    @property
    def tags(self) -> Tags:
        return Tags(run=self.run, model=self.model.name)

    @property
    def output(self) -> Output:
        return Output(url=self.job.output)

    def finish(self) -> Finish:
        num_rows = sum(shard.num_rows for shard in self.shards)
        return Finish(
            output=self.output,
            media=settled(self.job.media, video="num_frames" in self.planner.accepted),
            kept_share=kept_share(self.job.audit.keep, num_rows, self.job.audit.fraction),
            tags=self.tags,
        )

    def setup(self, how: Try) -> Setup:
        return Setup(
            model=self.model,
            cache=self.model.cache.to_json(),
            generation=self.job.generation,
            actors=self.job.actors,
            audit_fraction=self.job.audit.fraction,
            output=self.output,
            storage_options=self.job.storage_options,
            lease=self.lease,
            last_try=how is Try.ALONE,
            run=self.run,
            spool=self.spool,
        )


def run_task(task: Task, pending: Digests, how: Try) -> Iterator[Written]:
    """Make the pending rows; yields as each batch is written. The driver holds portions and counts, never rows.

    A batch whose actor dies is left out: Ray would try it again for ever, or end the job.
    """
    _settle_context(_deaths_allowed(task.job, len(pending)) if how is Try.TOGETHER else -1)
    batches = _dataset(task, pending, how).iter_batches(batch_size=None, batch_format="pyarrow")
    for batch in batches:
        assert isinstance(batch, pa.Table)
        yield from (Written(**counts) for counts in batch.to_pylist())


def _deaths_allowed(job: Job, num_rows: int) -> int:
    """Batches that may be lost with none written in between before the job ends: some prompts that kill in a row, or
    many nodes that go, but not all."""
    return int(_DEATHS + _DEATHS_PER_ACTOR * job.actors.count + _DEATHS_PER_BATCH * num_rows / job.actors.batch_size)


def _dataset(task: Task, pending: Digests, how: Try) -> ray.data.Dataset:
    shared = ray.put(pending)
    rows_per_batch = task.job.actors.batch_size if how is Try.TOGETHER else 1

    def plan(portion: Any) -> Iterator[pa.Table]:
        storage_options.use(task.job.storage_options)
        try:
            for batch in _batches(task, portion, ray.get(shared), rows_per_batch):
                yield packed(batch)
        except Exception as error:
            yield ending(f"planning: {describe(error)}")

    sources = [{"pieces": [asdict(piece) for piece in pieces]} for pieces in portions(task.shards)]
    batches = ray.data.from_items(sources, override_num_blocks=len(sources)).map_batches(
        plan, batch_size=1, batch_format="pyarrow"
    )
    return _given_up(batches, task) if how is Try.NO_MORE else _generated(batches, task, how)


def _batches(task: Task, portion: pa.Table, pending: Digests, rows_per_batch: int) -> Iterator[pa.Table]:
    planner = task.planner
    pieces = [Piece(**piece) for source in portion.to_pylist() for piece in source["pieces"]]
    prompts = (wanted(rows, pending) for piece in pieces for rows in read_piece(planner.prompts, piece))
    filled = (fill(rows, planner.generation, planner.accepted, planner.seed) for rows in prompts)
    for group in form(samples(filled), rows_per_batch):
        if _glance(task.output, task.lease).over():
            return
        yield table(Sample, group)


@cache
def _glance(output: Output, lease: str) -> Glance:
    """One per worker process."""
    return Glance(output, lease)


def _generated(batches: ray.data.Dataset, task: Task, how: Try) -> ray.data.Dataset:
    actors = task.job.actors
    strategy = ray.data.ActorPoolStrategy(
        size=actors.count,
        max_tasks_in_flight_per_actor=_BATCHES_PER_ACTOR if how is Try.TOGETHER else 1,
        max_concurrent_calls_per_actor=_BEGUN_PER_ACTOR if how is Try.TOGETHER else 1,
        enable_true_multi_threading=True,
    )
    with warnings.catch_warnings():
        # Ray 2.60 has no other way to say that a batch that kills its actor is not to be tried again at once.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return batches.map_batches(
            Actor,
            batch_size=None,
            batch_format="pyarrow",
            compute=strategy,
            num_cpus=actors.num_cpus,
            num_gpus=actors.num_gpus,
            fn_constructor_kwargs={"setup": task.setup(how), "finish": task.finish()},
            max_task_retries=0,
            max_restarts=-1,
        )


def _given_up(batches: ray.data.Dataset, task: Task) -> ray.data.Dataset:
    setup, finish = task.setup(Try.NO_MORE), task.finish()

    def fail(block: Any) -> pa.Table:
        storage_options.use(task.job.storage_options)
        rows, reason = unpacked(block)
        return table(Written, [nothing(ended=reason) if reason else finish(failed(rows, setup, _DIED))])

    return batches.map_batches(fail, batch_size=None, batch_format="pyarrow")


class _Steps(ExecutionCallback):
    """What Ray has no settings for.

    It keeps some kilobytes for each block that ever was, for a summary that nobody asks for here. And it counts lost
    batches over the whole job, where only many with none written in between shall end it: else a job with some more
    prompts that kill would end at the same of them in every run.
    """

    def before_execution_starts(self, executor: Any) -> None:
        self._allowed, self._written = getattr(executor, "_max_errored_blocks", -1), 0

    def on_execution_step(self, executor: Any) -> None:
        operators = list(getattr(executor, "_topology", None) or ())
        for operator in operators:
            getattr(operator, "_output_blocks_stats", []).clear()
        written = operators[-1].metrics.rows_task_outputs_generated if operators else 0
        if written > self._written and self._allowed >= 0:
            self._written, executor._max_errored_blocks = written, self._allowed


def _settle_context(max_errored_blocks: int) -> None:
    context = ray.data.DataContext.get_current()
    # A block is then one row, which is one batch.
    context.target_max_block_size = 1
    context.max_errored_blocks = max_errored_blocks
    context.custom_execution_callback_classes = [_Steps]
    context.enable_progress_bars = False
    # A slow model load or a long video is not a hang.
    context.execution_no_progress_timeout_s = -1
    context.raise_original_map_exception = True
    # What ends a job is told in one line; its traceback stands in Ray's own log of the actor.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
