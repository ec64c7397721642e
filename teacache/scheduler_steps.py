"""Between the denoiser and a pipeline's scheduler: hear or change what the scheduler gets at each step.

That is the guided output, after everything that a pipeline makes of its branches' answers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from teacache.models import Arguments

Change = Callable[[Tensor, Tensor], Tensor]
"""Takes the output that the scheduler is about to get and the sample that it is to move; returns the output it gets."""


class SchedulerStep:
    """In the place of a scheduler's `step`; a copy of the scheduler, or a pickle, gets its own step back."""

    def __init__(self, scheduler: Any, change: Change) -> None:
        self.scheduler = scheduler
        self._change: Change | None = change
        self._was_own = "step" not in vars(scheduler)
        self.original: Callable[..., Any] = scheduler.step
        self.__wrapped__ = self.original  # pipelines look at its signature
        self._names = tuple(inspect.signature(self.original).parameters)
        scheduler.step = self

    def __call__(self, model_output: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self._change is not None:
            sample = Arguments(self._names, (model_output, *args), kwargs).get("sample")
            model_output = model_output if sample is None else self._change(model_output, sample)
        return self.original(model_output, *args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _itself, (self.original,)

    def undo(self) -> None:
        """Put the step back; where another change came on top of this one, change nothing any more."""
        self._change = None
        if vars(self.scheduler).get("step") is not self:
            return
        if self._was_own:
            del self.scheduler.step
        else:
            self.scheduler.step = self.original


def _itself(step: Callable[..., Any]) -> Callable[..., Any]:
    return step


@contextmanager
def changed(scheduler: Any, change: Change) -> Iterator[None]:
    """Inside, the scheduler gets what `change` makes of the outputs."""
    step = SchedulerStep(scheduler, change)
    try:
        yield
    finally:
        step.undo()


class FollowedScheduler:
    """The change on a pipeline's scheduler, and on the one that the pipeline has later in its place."""

    def __init__(self, scheduler_of: Callable[[], Any], change: Change) -> None:
        self._scheduler_of, self._change = scheduler_of, change
        self._step = SchedulerStep(scheduler_of(), change)

    def follow(self) -> None:
        """Before each call to the denoiser."""
        scheduler = self._scheduler_of()
        if scheduler is not self._step.scheduler:
            self._step.undo()
            self._step = SchedulerStep(scheduler, self._change)

    def undo(self) -> None:
        self._step.undo()
