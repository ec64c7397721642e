"""Which run, which step and which guidance branch does a denoiser call belong to?

Nothing announces it. On a pipeline the scheduler tells: every run gets a new `timesteps` tensor from `set_timesteps`,
and its `step_index` moves between steps. On a transformer alone, or with a scheduler that keeps no index, the value of
the timestep tells: a run goes one way, and a value that does not go on in that direction starts a new run. The branch
is the pipeline's `cache_context` where it enters one, otherwise the ordinal of the call at its step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from teacache.policies import Decision, Moment, Policy
from teacache.predictors import Extrapolation
from teacache.statistics import CallStats
from teacache.timing import Stopwatch


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its run a call stands."""

    starts: bool
    """The call belongs to a new run."""
    moves: bool
    """The call belongs to a new step."""
    last: bool
    """The step is known to be the run's last."""


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


class TimestepProgress:
    """Follows the value of the timestep; one number is read back from the device at every call.

    Two things it cannot see: a run that is given up and followed by one that starts further down, and one that is
    given up at its first step, where the next run looks like a second guidance branch (the session then forgets what
    that step left). `Cache.discard` tells it.
    """

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
        value = float(self._current()) if self._current is not None else _first_value(timestep())
        before = self._value
        moves = before is None or value != before
        over = self._total is not None and self._step >= self._total - 1 and (moves or self._total == 1)
        if before is None or over or (value - before) * self._direction < 0 or (repeats and not moves):
            self._value, self._direction, self._step, self._total = value, 0.0, 0, self._num_inference_steps()
            return Place(starts=True, moves=True, last=self._total == 1)
        if moves:
            self._step += 1
            self._direction = self._direction or value - before
            self._value = value
        return Place(starts=False, moves=moves, last=self._total is not None and self._step == self._total - 1)

    def forget(self) -> None:
        self._value = None

    @property
    def knows_end(self) -> bool:
        return self._total is not None


class PipelineProgress:
    """Follows a pipeline's scheduler by its step index; reads nothing back from the device.

    Falls back to the timestep's value for a scheduler that keeps no index, and for runs that do not come from this
    pipeline: calls that repeat while the index stands still and the timestep does not.
    """

    def __init__(self, scheduler_of: Callable[[], Any]) -> None:
        self._scheduler_of = scheduler_of
        self._timesteps: Tensor | None = None
        self._index = 0
        self._timestep: Any = None
        self._foreign = False
        self._forgotten = False
        self._by_value = TimestepProgress(lambda: None if self._foreign else len(scheduler_of().timesteps))

    def place(self, timestep: Callable[[], Any], *, repeats: bool) -> Place:
        scheduler = self._scheduler_of()
        # set_timesteps always makes a new tensor; holding on to the old one keeps its identity from being reused.
        renewed = scheduler.timesteps is not self._timesteps
        starts = renewed or self._forgotten
        self._timesteps, self._forgotten = scheduler.timesteps, False
        if renewed:
            self._foreign = False
            self._by_value.forget()
        if not hasattr(scheduler, "step_index") or self._foreign:
            return self._by_value.place(timestep, repeats=repeats)
        index = scheduler.step_index if scheduler.step_index is not None else (scheduler.begin_index or 0)
        moves = starts or index != self._index
        self._index = index
        if moves:
            self._timestep = timestep()
        elif repeats and _first_value(timestep()) != _first_value(self._timestep):
            self._foreign = True
            return self._by_value.place(timestep, repeats=repeats)
        return Place(starts=starts, moves=moves, last=index == len(scheduler.timesteps) - 1)

    def forget(self) -> None:
        self._forgotten = True
        self._by_value.forget()

    @property
    def exact(self) -> bool:
        return not self._foreign

    @property
    def knows_end(self) -> bool:
        return not self._foreign

    @property
    def completed(self) -> bool:
        scheduler = self._scheduler_of()
        index = getattr(scheduler, "step_index", None)
        timesteps = self._timesteps
        return timesteps is not None and timesteps is scheduler.timesteps and (index or 0) >= len(timesteps)


def _first_value(timestep: Any) -> float:
    return float(timestep.flatten()[0].item()) if isinstance(timestep, torch.Tensor) else float(timestep)


class Branch:
    """One guidance branch of one run: its policy, its predictor, and what happened step by step."""

    def __init__(self, policy: Policy, predictor: Extrapolation, name: str, device: torch.device) -> None:
        self.name = name
        self.policy = policy
        self.predictor = predictor
        self.batch_size = 0
        self.decisions: list[Decision] = []
        self.forward_time = Stopwatch(device)
        self.block_time = Stopwatch(device)

    def restart(self, policy: Policy, predictor: Extrapolation) -> None:
        """Forget what earlier steps left, but for the record of what they did."""
        self.policy, self.predictor = policy, predictor

    def decide(self, stack_input: Tensor, last: bool, indicator: Callable[[], Tensor]) -> bool:
        """Whether to compute this step; remembers it."""
        can_skip = self.predictor.can_stand_in(stack_input) and not _records_gradients(stack_input)
        self.batch_size = max(self.batch_size, stack_input.shape[0])
        decision = self.policy.decide(Moment(can_skip=can_skip, last=last, indicator=indicator))
        self.decisions.append(decision)
        return decision.compute

    def keep(self, stack_input: Tensor, stack_output: Tensor) -> None:
        """Keep what a computed step added to its input, for the steps that skip."""
        stack_input, stack_output = stack_input.detach(), stack_output.detach()
        self.policy.observe(stack_input, stack_output)
        if self.policy.skips:
            self.predictor.keep(len(self.decisions) - 1, stack_output - stack_input)

    def stand_in(self, stack_input: Tensor) -> Tensor:
        """The stack's output on a skipped step: its input plus the predicted residual."""
        return stack_input + self.predictor.predict(len(self.decisions) - 1)

    def statistics(self, denoiser: str) -> CallStats:
        return CallStats(
            denoiser=denoiser,
            branch=self.name,
            batch_size=self.batch_size,
            computed=tuple(decision.compute for decision in self.decisions),
            distances=tuple(decision.distance for decision in self.decisions),
            block_seconds=self.block_time.seconds,
            seconds=self.forward_time.seconds,
        )


def _records_gradients(stack_input: Tensor) -> bool:
    """A skipped step has no gradient worth the name, so with gradients on every step is computed."""
    records = torch.is_grad_enabled() and stack_input.requires_grad
    if records:
        warnings.warn(
            "gradients are being recorded, so teacache computes every step; torch.no_grad() lets it skip", stacklevel=2
        )
    return records


@dataclass(slots=True)
class Run:
    """One run through the denoiser: a pipeline call, or a loop somebody wrote by hand."""

    branches: dict[str, Branch] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    """The branches called at the current step."""
    num_steps: int = 0
    last_step: bool = False

    def name_branch(self, context: str | None) -> str:
        """The branch of the next call at this step: its context, or its ordinal where there is none."""
        if context is None:
            return str(len(self.called))
        times = self.called.count(context)
        return context if times == 0 else f"{context}#{times + 1}"
