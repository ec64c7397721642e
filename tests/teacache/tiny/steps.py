"""For pipelines that have no `callback_on_step_end`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def called_back(pipe: Any, callback: Callable[..., Any] | None) -> Iterator[None]:
    """Inside, the callback is called when the scheduler has made a step."""
    if callback is None:
        yield
        return
    original, index = pipe.scheduler.step, 0

    def step(output: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal index
        result = original(output, timestep, *args, **kwargs)
        callback(pipe, index, timestep, {})
        index += 1
        return result

    pipe.scheduler.step = step
    try:
        yield
    finally:
        del pipe.scheduler.step
