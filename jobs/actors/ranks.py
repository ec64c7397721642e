"""One pipeline in several processes, each with a GPU of its own and a part of every sample's tokens.

That is diffusers' context parallelism: all processes make the same calls, and the first one's results count.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import pyarrow as pa

from jobs.actors import together
from jobs.actors.generate import Generate
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.errors import Failure, JobFailed, attempt, describe

Result = TypeVar("Result")


class Ranks:
    """Called as Generate is, in whose process it is the first of `model.context_parallel`.

    Raises JobFailed, as Generate does, where any of them can't load. From then on they live and die together, for
    where one is missing, the others would wait for it for ever: `give_up`, which ends this process, is told why.
    """

    def __init__(self, model: Model, generation: Generation, actors: Actors, audit_fraction: float, run: str,
                 give_up: Callable[[Exception], None]) -> None:  # fmt: skip
        size, arguments = model.context_parallel, (model, generation, actors, audit_fraction, run)
        with _signals_held_back():
            self._others = [_Other(rank, size, arguments) for rank in range(1, size)]
        ended = threading.Event()
        weakref.finalize(self, _end, self._others, ended)
        self._generate = Generate(*arguments)
        self._agree()
        store, port = together.meeting()
        for other in self._others:
            other.calls.send(port)
        threading.Thread(target=_watch, args=(self._others, ended, give_up), daemon=True).start()
        on_gpu = bool(actors.num_gpus)
        joined = attempt(lambda: together.join(self._generate.pipeline, 0, size, store, on_gpu=on_gpu))
        if isinstance(joined, Failure):
            raise JobFailed(f"can't be loaded: {joined.error}")
        self._agree()

    def __call__(self, batch: pa.Table) -> pa.Table:
        for other in self._others:
            other.calls.send(batch)
        return self._generate(batch)

    def _agree(self) -> None:
        """Wait for all others to be as far. Raises JobFailed if one will never be."""
        for failed in filter(None, [other.told() for other in self._others]):
            raise JobFailed(failed)


class _Other:
    """One of the other processes, as the first sees it."""

    def __init__(self, rank: int, size: int, arguments: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self.calls, there = context.Pipe()
        self.process = context.Process(target=_follow, args=(there, rank, arguments), daemon=True,
                                       name=f"process {rank + 1} of {size}")  # fmt: skip
        self.process.start()
        there.close()

    def told(self) -> str:
        """Why it can't go on, as soon as it says so or ends; nothing if it can."""
        try:
            failed: str = self.calls.recv()
        except (EOFError, ConnectionResetError):
            return f"can't be loaded: {self.end()}"
        return failed and f"{self.process.name}: {failed}"

    def end(self) -> str:
        self.process.join()
        return f"{self.process.name} ended with exit code {self.process.exitcode}"


def _follow(calls: Connection, rank: int, arguments: tuple[Any, ...]) -> None:
    """What every process but the first does, until that one has no more calls or is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    model, _, actors, *_ = arguments
    on_gpu = bool(actors.num_gpus)
    try:
        generate = _telling(calls, lambda: _load(rank, arguments, on_gpu))
        store = together.meet(calls.recv())
        _telling(calls, lambda: together.join(generate.pipeline, rank, model.context_parallel, store, on_gpu=on_gpu))
        while True:
            batch = calls.recv()
            generate(batch)
    except EOFError:
        return


def _load(rank: int, arguments: tuple[Any, ...], on_gpu: bool) -> Generate:
    if on_gpu:
        together.use_gpu(rank)
    return Generate(*arguments)


def _telling(calls: Connection, work: Callable[[], Result]) -> Result:
    """Do the work and tell the first process how it went; if that is wrong, wait for its end and raise EOFError."""
    try:
        done = work()
    except Exception as error:
        calls.send(str(error) if isinstance(error, JobFailed) else f"can't be loaded: {describe(error)}")
        calls.recv()
        raise
    calls.send("")
    return done


def _watch(others: Sequence[_Other], ended: threading.Event, give_up: Callable[[Exception], None]) -> None:
    """Give up as soon as one of them is gone that nobody has ended."""
    by_sentinel = {other.process.sentinel: other for other in others}
    first, *_ = wait(list(by_sentinel))
    if not ended.is_set():
        give_up(ChildProcessError(by_sentinel[first].end()))  # type: ignore[index]


def _end(others: Sequence[_Other], ended: threading.Event) -> None:
    ended.set()
    for other in others:
        other.process.kill()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Processes that start inside never get SIGINT or SIGTERM: the first one decides how a batch in hand ends."""
    resource_tracker.ensure_running()  # or it starts inside, and lets signals through when it has
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
