"""What Ray runs on each GPU: a pipeline that makes batch after batch, and how it comes and goes."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from jobs import storage_options
from jobs.batches import ending, packed, unpacked
from jobs.config import Actors, Generation, Model
from jobs.errors import JobFailed, describe
from jobs.lease import Glance
from jobs.paths import Output
from jobs.rows import Made, Sample, table, values
from jobs.storage_options import StorageOptions

_TO_HAND_OVER = 1.0
"""Seconds that a leaving actor gives Ray to take its last batch."""

_BACKSTOP = 30.0
"""Seconds after the time limit at which even a process that can run no Python any more is ended."""

Generate = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every actor of one model is given."""

    model: Model
    generation: Generation
    actors: Actors
    audit_fraction: float
    output: Output
    storage_options: StorageOptions
    lease: str
    """Whose turn it is to write."""
    run: str
    last_try: bool
    """Whether these are rows on their own whose actor died before: what hangs now has failed."""


class Actor:
    """Made by Ray, called with one batch after the other.

    On SIGTERM, which a spot node gets before it goes, it finishes and writes the batch in hand. A batch that takes
    longer than the limit ends the process, and Ray replaces it.
    """

    def __init__(self, setup: Setup, finish: Callable[[pa.Table], object]) -> None:

        storage_options.use(setup.storage_options)
        self._setup, self._finish = setup, finish
        self._glance = Glance(setup.output, setup.lease)
        self._busy = self._leaving = False
        signal.signal(signal.SIGTERM, self._leave)
        self._broken = ""
        self._generate: Generate | None = None

    def _load(self) -> Generate | None:
        """At the first batch: of a constructor that kills its process Ray would make one try after the other."""
        from jobs.generate import Generate

        try:
            return Generate(
                self._setup.model,
                self._setup.generation,
                self._setup.actors,
                self._setup.audit_fraction,
                self._setup.run,
            )
        except JobFailed as error:
            self._broken = str(error)
            return None

    def __call__(self, block: pa.Table) -> pa.Table:
        samples, reason = unpacked(block)
        if reason:
            return ending(reason)
        if not self._broken:
            self._generate = self._generate or self._load()
        if self._generate is None:
            return ending(self._broken)
        if self._leaving:
            time.sleep(10 * _TO_HAND_OVER)
        if self._glance.over():
            return packed(table(Made, []))
        self._busy = True
        with self._limit(samples):
            made = self._generate(samples)
        if self._leaving:
            self._finish(made)
            threading.Timer(_TO_HAND_OVER, os._exit, (0,)).start()
        self._busy = False
        return packed(made)

    def _leave(self, *_: Any) -> None:
        self._leaving = True
        if not self._busy:
            os._exit(0)

    @contextmanager
    def _limit(self, samples: pa.Table) -> Iterator[None]:
        seconds = self._setup.actors.batch_timeout_seconds
        timer = threading.Timer(seconds, self._give_up, (samples,))
        timer.daemon = True
        timer.start()
        # Needs no interpreter lock, which a kernel that hangs may hold.
        faulthandler.dump_traceback_later(seconds + _BACKSTOP, exit=True)
        try:
            yield
        finally:
            timer.cancel()
            faulthandler.cancel_dump_traceback_later()

    def _give_up(self, samples: pa.Table) -> None:
        """End this process; on the last try the batch is noted as failed before."""
        limit = self._setup.actors.batch_timeout_seconds
        try:
            if self._setup.last_try:
                error = TimeoutError(f"not done within actors.batch_timeout_seconds = {limit:g}")
                self._finish(failed(samples, self._setup, describe(error)))
        finally:
            os._exit(1)


def failed(samples: pa.Table, setup: Setup, error: str) -> pa.Table:
    """Rows for samples that no actor lived to tell of."""
    rows = [Sample(**row) for row in samples.to_pylist()]
    return table(
        Made,
        (
            Made(
                **values(sample, Sample),
                model=setup.model.name,
                cache=setup.model.cache.to_json(),
                batch_size=len(rows),
                batch="",
                actor="",
                num_gpus=setup.actors.num_gpus or 0.0,
                num_cpus=setup.actors.num_cpus,
                versions="{}",
                created_at=datetime.now(timezone.utc),
                error=error,
            )
            for sample in rows
        ),
    )
