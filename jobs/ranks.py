"""One pipeline in several processes, each with a GPU of its own and a part of every sample's tokens.

That is diffusers' context parallelism: all processes make the same calls, and the first one's results count.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs import together
from jobs.config import Actors, Generation, Model
from jobs.errors import JobFailed
from jobs.generate import Generate


class Ranks:
    """Called as Generate is, in whose process it is the first of `model.context_parallel`.

    They live and die together: where one is missing, the others would wait for it for ever.
    """

    def __init__(self, model: Model, generation: Generation, actors: Actors, audit_fraction: float, run: str) -> None:
        context = multiprocessing.get_context("spawn")
        meeting = str(Path(tempfile.mkdtemp(), "meeting"))
        arguments = (model, generation, actors, audit_fraction, run)
        self._others: list[Connection] = []
        processes = []
        for rank in range(1, model.context_parallel):
            here, there = context.Pipe()
            process = context.Process(target=_follow, args=(there, rank, meeting, arguments), daemon=True)
            process.start()
            there.close()
            self._others.append(here)
            processes.append(process.sentinel)
        _end_with(processes)
        together.join(0, model.context_parallel, meeting, on_gpu=bool(actors.num_gpus))
        self._generate = Generate(*arguments)

    def __call__(self, batch: pa.Table) -> pa.Table:
        for other in self._others:
            other.send(batch)
        return self._generate(batch)


def _follow(calls: Connection, rank: int, meeting: str, arguments: tuple[Any, ...]) -> None:
    """What every process but the first does, as long as that one lives."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    _end_with([parent.sentinel])
    model, _, actors, *_ = arguments
    together.join(rank, model.context_parallel, meeting, on_gpu=bool(actors.num_gpus))
    try:
        generate = Generate(*arguments)
    except JobFailed:  # The first one tells it.
        threading.Event().wait()
    while True:
        generate(calls.recv())


def _end_with(processes: Sequence[int]) -> None:
    """End this process as soon as one of those does."""

    def watch() -> None:
        wait(processes)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
