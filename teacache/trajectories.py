"""Which run, which step and which guidance branch does a denoiser call belong to?

Nothing announces it. On a pipeline the scheduler tells: every run gets a new `timesteps` tensor from `set_timesteps`,
and its `step_index` moves between steps. On a transformer alone, or with a scheduler that keeps no index or stands
still, the value of the timestep tells: a run goes one way, and a value that does not go on in that direction starts a
new run. The branch is the pipeline's `cache_context` where it enters one, otherwise the ordinal of the call at its
step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from teacache.sensitivity import sensitivities

STOPPED_BEFORE = frozenset({"SCMScheduler", "LTXEulerAncestralRFScheduler"})
"""Schedulers whose last timestep is the end of the run, not a step of it: their pipelines (SANA-Sprint; LTX-Video's for
long videos) leave it out."""


class Place(NamedTuple):
    """Where in its run a call stands."""

    starts: bool
    """The call belongs to a new run."""
    moves: bool
    """The call belongs to a new step."""
    step: int
    """The number of the step in the run, from 0: the scheduler's index where it keeps one."""
    total: int | None
    """How many steps the run has, where that is known."""

    @property
    def last(self) -> bool:
        """Whether the step is known to be the run's last."""
        return self.total is not None and self.step == self.total - 1


class Progress(Protocol):
    def place(self, timestep: Callable[[], Any], *, repeats: bool) -> Place:
        """Called once per denoiser call.

        Args:
            timestep: gives the transformer's timestep argument.
            repeats: the call has the context of an earlier call at what may be the same step, or is one of very many.
        """
        ...

    def forget(self) -> None:
        """The next call starts a new run, whatever it looks like."""
        ...

    @property
    def current(self) -> bool:
        """Whether the run in hand is still the one that the scheduler goes through."""
        ...

    @property
    def exact(self) -> bool:
        """Whether new runs are recognised for certain, not by what their timesteps look like."""
        ...

    @property
    def knows_end(self) -> bool:
        """Whether a run's last step is recognised, so that a run without it must have been aborted."""
        ...

    @property
    def completed(self) -> bool:
        """Whether the run is known to have gone through all its steps, be it with another denoiser."""
        ...

    def scheduler(self) -> Any:
        """The pipeline's; None on a transformer alone."""
        ...

    def sensitivities(self) -> tuple[float, ...]:
        """How much each step of the run in hand moves the sample, 1 on average; empty where nothing is known."""
        ...


class TimestepProgress:
    """Follows the value of the timestep; one number is read back from the device at every call.

    Two things it cannot see: a run that is given up and followed by one that starts further down, and one that is
    given up at its first step, where the next run looks like a second guidance branch (the session then forgets what
    that step left). `Cache.discard` tells it.
    """

    current = True
    exact = False
    completed = False

    def __init__(
        self, num_inference_steps: Callable[[], int | None], current: Callable[[], float] | None = None
    ) -> None:
        self._num_inference_steps = num_inference_steps
        self._current = current
        self._value: float | None = None
        self._direction = 0.0
        self._step = 0
        self._total: int | None = None

    def place(self, timestep: Callable[[], Any], *, repeats: bool) -> Place:
        value = float(self._current()) if self._current is not None else _value(timestep())
        before = self._value
        moves = before is None or value != before
        over = self._total is not None and self._step >= self._total - 1 and (moves or self._total == 1)
        if before is None or over or (value - before) * self._direction < 0 or (repeats and not moves):
            self._value, self._direction, self._step, self._total = value, 0.0, 0, self._num_inference_steps()
            return Place(starts=True, moves=True, step=0, total=self._total)
        if moves:
            self._step += 1
            self._direction = self._direction or value - before
            self._value = value
        return Place(starts=False, moves=moves, step=self._step, total=self._total)

    def forget(self) -> None:
        self._value = None

    def scheduler(self) -> None:
        return None

    def sensitivities(self) -> tuple[float, ...]:
        return ()

    @property
    def knows_end(self) -> bool:
        return self._total is not None


class PipelineProgress:
    """Follows a pipeline's scheduler by its step index; reads nothing back from the device.

    Falls back to the timestep's value where there is no index, and for calls that repeat while the index stands still
    and the timestep does not. Either these do not come from this pipeline, or it has a copy of the scheduler for every
    frame (SkyReels-V2's diffusion forcing), and its own has never made a step; or the scheduler counts none
    (`HeliosDMDScheduler`).
    """

    def __init__(self, scheduler_of: Callable[[], Any], num_steps: Callable[[], int | None] = lambda: None) -> None:
        """
        Args:
            num_steps: how many steps the pipeline says its run has; asked where the scheduler stands still. If it does
                not say, as modular ones do not, they are the scheduler's.
        """
        self._scheduler_of, self._num_steps = scheduler_of, num_steps
        self._timesteps: Tensor | None = None
        self._index = 0
        self._timestep: Any = None
        self._foreign = self._standing = False
        self._forgotten = False
        self._by_value = TimestepProgress(self._total)

    def _total(self) -> int | None:
        scheduler = self._scheduler_of()
        if (
            self._standing
        ):  # the scheduler of a pipeline that is not the one that runs may not have come to a run at all
            known = getattr(scheduler, "num_inference_steps", None) is not None
            return self._num_steps() or (steps_of(scheduler) if known else None)
        return None if self._foreign else steps_of(scheduler)

    def place(self, timestep: Callable[[], Any], *, repeats: bool) -> Place:
        scheduler = self._scheduler_of()
        # set_timesteps always makes a new tensor; holding on to the old one keeps its identity from being reused.
        renewed = scheduler.timesteps is not self._timesteps
        starts = renewed or self._forgotten
        self._timesteps, self._forgotten = scheduler.timesteps, False
        if renewed:
            self._foreign = self._standing = False
            self._by_value.forget()
        index = None if self._foreign or self._standing else _index(scheduler, timestep)
        if index is None:
            return self._by_value.place(timestep, repeats=repeats)
        moves = starts or index != self._index
        self._index = index
        if moves:
            self._timestep = timestep()
        elif repeats and _value(timestep()) != _value(self._timestep):
            self._standing = getattr(scheduler, "step_index", 0) is None
            self._foreign = not self._standing
            if self._standing:  # so that was the first step
                self._by_value.place(lambda: self._timestep, repeats=False)
            return self._by_value.place(timestep, repeats=repeats)
        return Place(starts=starts, moves=moves, step=index, total=steps_of(scheduler))

    def forget(self) -> None:
        self._forgotten = True
        self._by_value.forget()

    @property
    def current(self) -> bool:
        return not self._forgotten and self._timesteps is self._scheduler_of().timesteps

    @property
    def exact(self) -> bool:
        return not self._foreign

    @property
    def knows_end(self) -> bool:
        return self._by_value.knows_end if self._standing else not self._foreign

    @property
    def completed(self) -> bool:
        scheduler = self._scheduler_of()
        index = getattr(scheduler, "step_index", None)
        timesteps = self._timesteps
        return timesteps is not None and timesteps is scheduler.timesteps and (index or 0) >= steps_of(scheduler)

    def scheduler(self) -> Any:
        return self._scheduler_of()

    def sensitivities(self) -> tuple[float, ...]:
        return () if self._foreign else sensitivities(self._scheduler_of())


def steps_of(scheduler: Any) -> int:
    """How many steps a run has."""
    count = len(scheduler.timesteps)
    return count - 1 if any(kind.__name__ in STOPPED_BEFORE for kind in type(scheduler).__mro__) else count


def _index(scheduler: Any, timestep: Callable[[], Any]) -> int | None:
    """The scheduler's step index. For one that keeps none (DDIM), which of its timesteps the pipeline has passed on.

    That is told by where the timestep lies in memory, so that nothing is read back; None where it is a copy.
    """
    if hasattr(scheduler, "step_index"):
        index: int = scheduler.step_index if scheduler.step_index is not None else (scheduler.begin_index or 0)
        return index
    value, timesteps = timestep(), scheduler.timesteps
    if not isinstance(value, Tensor) or value.untyped_storage().data_ptr() != timesteps.untyped_storage().data_ptr():
        return None
    offset = value.storage_offset() - timesteps.storage_offset()
    return int(offset // timesteps.stride(0))


def _value(timestep: Any) -> float:
    """One number for a timestep: the mean, as some models have one per token, zero where a picture is given."""
    if not isinstance(timestep, Tensor):
        return float(timestep)
    if timestep.ndim == 1:  # one per row, few: on the host a mean of them is cheaper than a kernel
        return math.fsum(timestep.tolist()) / len(timestep)
    return float(timestep.mean(dtype=torch.float64).item())
