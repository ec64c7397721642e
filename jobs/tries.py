"""One model's rows, tried until each is done or failed: together, then alone where an actor died, then no more.

What an actor's death took with it is found as a resume finds it, from the manifest: nothing else has to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import ray
from ray.exceptions import RayError

from jobs.errors import JobFailed, last_line
from jobs.output import manifest, merge
from jobs.output.lease import Lease
from jobs.pipeline import Task, Try, run_task
from jobs.rows import Written
from jobs.salvage import Wanted, salvaged

_UNWRITTEN_IN_A_ROW = 3
"""Batches of which nothing could be stored, after which the others are not worth their making."""


def make(task: Task, pending: Wanted, lease: Lease, say: Callable[[str], None]) -> Generator[Written, None, None]:
    """Make the pending rows; yields as batches are written. Raises JobFailed, after which the rest is untouched."""
    left, told = pending, 0
    before = manifest.failures(task.output, task.model.name, pending.ids)
    for how in Try:
        if how is not Try.TOGETHER or lease.follows_a_killed:
            for written in _salvaged(task, left, say):
                told += written.done + written.failed
                yield written
            left = left.without(manifest.tried(task.output, task.model.name, before).ids)
            # An actor that was told to leave writes its last batch itself.
            if untold := len(pending) - len(left) - told:
                told += untold
                yield Written(done=untold, failed=0, steps=0, computed=0, delay=0.0)
            if not len(left):
                return
        if how is Try.ALONE:
            say(f"{task.model.name}: {len(left):,} rows went with their actors; each is tried on its own")
        with closing(_merging(task, run_task(task, left.ids, how))) as batches:  # Ray Data ends before Ray does
            for written in _stopping(batches, task, lease):
                told += written.done + written.failed
                yield written
        if told >= len(pending) or lease.leaving:
            return


def _salvaged(task: Task, left: Wanted, say: Callable[[str], None]) -> Iterator[Written]:
    count = 0
    for written in salvaged(task.spool, task.finish(), task.job.storage_options, left):
        count += written.done
        yield written
    if count:
        say(f"{task.model.name}: {count:,} rows that were made before a kill are written now")


def _stopping(batches: Iterator[Written], task: Task, lease: Lease) -> Iterator[Written]:
    """Pass the batches on until one tells that the job must end."""
    in_a_row = 0
    unwritten = ""
    name = task.model.name
    try:
        for written in batches:
            if written.ended or lease.lost:
                raise JobFailed(f"model {name}: {written.ended or 'another run writes to the output now'}")
            rows = written.done + written.failed
            unwritten = written.unwritten or unwritten
            stored = rows > written.unstored
            in_a_row = 0 if stored else in_a_row + bool(written.unwritten or written.unstored)
            if in_a_row >= _UNWRITTEN_IN_A_ROW:
                reason = unwritten or "the rows that failed say why"
                raise JobFailed(f"model {name}: {in_a_row} batches in a row could not be written: {reason}")
            yield written
    except RayError as error:
        raise JobFailed(f"model {name}: {last_line(error)}") from error
    if unwritten:
        raise JobFailed(f"model {name}: some rows could not be written, run the job again: {unwritten}")


def _merging(task: Task, batches: Iterator[Written]) -> Generator[Written, None, None]:
    """Merge the small files of the manifest now and then, in a task of its own."""
    merging = ray.remote(num_cpus=0)(merge.merge)
    running: Any = None
    try:
        for number, written in enumerate(batches, start=1):
            yield written
            if number % merge.AT_LEAST == 0 and (running is None or ray.wait([running], timeout=0)[0]):
                running = merging.remote(task.output)
    finally:
        if running is not None:
            # Who reads the manifest next shall not see files go.
            ray.wait([running])
