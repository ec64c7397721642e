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
    """In the place of a scheduler's `step` while there are changes, however many caches they are of.

    A copy of the scheduler, or a pickle, has its own step.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self._changes: list[Change] = []
        self._was_own = "step" not in vars(scheduler)
        self.original: Callable[..., Any] = scheduler.step
        self.__wrapped__ = self.original  # pipelines look at its signature
        self._names = tuple(inspect.signature(self.original).parameters)
        scheduler.step, scheduler.__getstate__ = self, self._without

    @classmethod
    def of(cls, scheduler: Any) -> SchedulerStep:
        """The one that is there, or a new one."""
        step = vars(scheduler).get("step")
        return step if isinstance(step, cls) else cls(scheduler)

    def __call__(self, model_output: Tensor, *args: Any, **kwargs: Any) -> Any:
        for change in reversed(self._changes):
            sample = Arguments(self._names, (model_output, *args), kwargs).get("sample")
            model_output = model_output if sample is None else change(model_output, sample)
        return self.original(model_output, *args, **kwargs)

    def add(self, change: Change) -> None:
        """Before those that are there."""
        self._changes.append(change)

    def remove(self, change: Change) -> None:
        """With the last one the step is put back; where something else came on top of this one, it stays, idle."""
        self._changes.remove(change)
        attributes = vars(self.scheduler)
        if not self._changes and attributes.get("step") is self:
            before = self._without()
            attributes.clear()
            attributes.update(before)

    def _without(self) -> dict[str, Any]:
        """The scheduler's attributes as they are without this; copies and pickles take those."""
        others = {name: value for name, value in vars(self.scheduler).items() if name != "__getstate__"}
        if others.get("step") is self:
            if self._was_own:
                del others["step"]
            else:
                others["step"] = self.original
        return others


@contextmanager
def changed(scheduler: Any, change: Change) -> Iterator[None]:
    """Inside, the scheduler gets what `change` makes of the outputs."""
    step = SchedulerStep.of(scheduler)
    step.add(change)
    try:
        yield
    finally:
        step.remove(change)


class FollowedScheduler:
    """The change on a pipeline's scheduler, and on the one that the pipeline has later in its place."""

    def __init__(self, scheduler_of: Callable[[], Any], change: Change) -> None:
        self._scheduler_of, self._change = scheduler_of, change
        self._put_on()

    def _put_on(self) -> None:
        self._step = SchedulerStep.of(self._scheduler_of())
        self._step.add(self._change)

    def follow(self) -> None:
        """Before each call to the denoiser."""
        if self._scheduler_of() is not self._step.scheduler:
            self.undo()
            self._put_on()

    def undo(self) -> None:
        self._step.remove(self._change)
