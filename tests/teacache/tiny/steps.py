"""For pipelines that have no `callback_on_step_end`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any


class Called:
    """A scheduler's `step` that calls back; a copy of the scheduler, as for sound beside a video, gets its own."""

    def __init__(self, pipe: Any, callback: Callable[..., Any]) -> None:
        self._pipe, self._callback, self._scheduler, self._index = pipe, callback, pipe.scheduler, 0
        self._step = pipe.scheduler.step

    def __call__(self, output: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        result = self._step(output, timestep, *args, **kwargs)
        self._callback(self._pipe, self._index, timestep, {})
        self._index += 1
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return MethodType(type(self._scheduler).step, memo[id(self._scheduler)])


@contextmanager
def called_back(pipe: Any, callback: Callable[..., Any] | None) -> Iterator[None]:
    """Inside, the callback is called when the scheduler has made a step."""
    if callback is None:
        yield
        return
    scheduler = pipe.scheduler
    scheduler.step = Called(pipe, callback)
    try:
        yield
    finally:
        del scheduler.step
