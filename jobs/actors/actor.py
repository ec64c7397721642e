"""What Ray runs on each GPU: a pipeline that makes batch after batch, and how it comes and goes."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.actors.batches import unpacked
from jobs.actors.spool import Spool, drop
from jobs.config import storage_options
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.config.storage_options import StorageOptions
from jobs.errors import DeviceLost, JobFailed, describe
from jobs.media.finish import nothing
from jobs.output.lease import Glance
from jobs.paths import Output
from jobs.rows import Made, Sample, Written, table, values

_TO_HAND_OVER = 1.0
"""Seconds that a leaving actor gives Ray to take its last batch."""

_BACKSTOP = 30.0
"""Seconds after the time limit at which even a process that can run no Python any more is ended."""

Generate = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every actor of one model is given."""

    model: Model
    cache: str
    """The model's cache settings as the manifest notes them."""
    generation: Generation
    actors: Actors
    audit_fraction: float
    output: Output
    storage_options: StorageOptions
    lease: str
    """Whose turn it is to write."""
    run: str
    spool: Spool
    last_try: bool
    """Whether these are rows on their own whose actor died before: what hangs now has failed."""


class Actor:
    """Made by Ray, called with one batch after the other, by two threads at a time.

    One thread of its own generates and leaves the batch on the node's disk; who called encodes and uploads it then,
    while the next one is generated. So what is lost with the process is the one batch in generation. A third one can't
    begin before the first is written: there is room for two.

    On SIGTERM, which a spot node gets before it goes, it finishes and writes what is begun. A batch that takes longer
    than the limit ends the process, and Ray replaces it.
    """

    def __init__(self, setup: Setup, finish: Callable[[pa.Table], Written]) -> None:
        storage_options.use(setup.storage_options)
        self._setup, self._finish = setup, finish
        setup.spool.sweep()
        self._glance = Glance(setup.output, setup.lease)
        self._generator = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate")
        self._begun: set[int] = set()
        self._in_hand: pa.Table | None = None
        """What is in generation."""
        self._leaving = False
        signal.signal(signal.SIGTERM, self._leave)
        self._broken = ""
        self._generate: Generate | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        samples, reason = unpacked(block)
        return table(Written, [nothing(ended=reason) if reason else self._write(samples)])

    def _write(self, samples: pa.Table) -> Written:
        """Have the batch generated, and make it durable."""
        if self._glance.over():
            return nothing()
        try:
            made, kept = self._generator.submit(self._made, samples, threading.get_ident()).result()
            if made is None:
                return nothing(ended=self._broken)
            if self._glance.over() == "lost":
                return nothing(ended="another run writes to the output now")
            written = self._finish(made)
            drop(kept)
            return written
        finally:
            self._begun.discard(threading.get_ident())
            if self._leaving and not self._begun:
                threading.Timer(_TO_HAND_OVER, os._exit, (0,)).start()

    def _made(self, samples: pa.Table, caller: int) -> tuple[pa.Table | None, Path | None]:
        """In the thread that generates: the batch, and where it is kept until it is written.

        None where there is nothing to generate with, or nothing to be begun.
        """
        if self._leaving:
            threading.Event().wait()  # This process ends soon, and another one gets the batch.
        self._begun.add(caller)
        if not self._broken:
            self._generate = self._generate or self._load()
        if self._generate is None or self._glance.seen:
            return None, None
        with self._limit(samples):
            try:
                made = self._generate(samples)
            except DeviceLost as error:
                self._give_up(error)
                raise
        return made, self._setup.spool.keep(made)

    def _load(self) -> Generate | None:
        """At the first batch: of a constructor that kills its process Ray would make one try after the other."""
        given = self._setup
        arguments = (given.model, given.generation, given.actors, given.audit_fraction, given.run)
        try:
            if given.model.context_parallel > 1:
                from jobs.actors.ranks import Ranks

                return Ranks(*arguments, self._give_up)
            from jobs.actors.generate import Generate

            return Generate(*arguments)
        except JobFailed as error:
            self._broken = str(error)
            return None

    def _leave(self, *_: Any) -> None:
        self._leaving = True
        if not self._begun:
            os._exit(0)

    @contextmanager
    def _limit(self, samples: pa.Table) -> Iterator[None]:
        seconds = self._setup.actors.batch_timeout_seconds
        late = TimeoutError(f"not done within actors.batch_timeout_seconds = {seconds:g}")
        timer = threading.Timer(seconds, self._give_up, (late,))
        timer.daemon = True
        self._in_hand = samples
        timer.start()
        # Needs no interpreter lock, which a kernel that hangs may hold.
        faulthandler.dump_traceback_later(seconds + _BACKSTOP, exit=True)
        try:
            yield
        finally:
            timer.cancel()
            self._in_hand = None
            faulthandler.cancel_dump_traceback_later()

    def _give_up(self, error: Exception) -> None:
        """End this process; on the last try the batch in generation is noted as failed before."""
        samples = self._in_hand
        try:
            print(describe(error), file=sys.stderr, flush=True)
            if self._setup.last_try and samples is not None:
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
                cache=setup.cache,
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
