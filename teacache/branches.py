"""One guidance branch of one run: decides, keeps residuals, remembers what happened."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from teacache.kinds import Kind, tensors_in
from teacache.outputs import Supply
from teacache.policies import Always, Computed, Decision, Moment, Policy, Stream
from teacache.predictors import Extrapolation, Predictor
from teacache.rows import Granularity, Selection, Ties
from teacache.statistics import CallStats
from teacache.timing import Stopwatch
from teacache.trajectories import Place


@dataclass(frozen=True, slots=True)
class Method:
    """How a branch is cached: makes the state that it starts with."""

    policy: Callable[[int | None], Policy]
    """Takes the number of steps of the run, where it is known."""
    predictor: Callable[[], Predictor]
    granularity: Granularity
    supply: Callable[[int | None], Supply] | None = None
    """Where the scheduler gets something else than the outputs as they are: what supplies it, from the number of steps.
    Then a step that is skipped does not run the denoiser at all, and `policy` is for the others."""


UNCACHED = Method(policy=lambda total: Always(), predictor=lambda: Extrapolation(0), granularity="sample")
"""Everything is computed."""


class Batch(NamedTuple):
    """What the denoiser takes in when a branch starts."""

    rows: int
    device: torch.device
    ranks: Any
    """The process group among which tokens are split, if they are."""


class StackInput(NamedTuple):
    """What the first block takes in and is kept until the last one is through."""

    streams: tuple[Tensor, ...]
    """The hidden states, and what else leaves the stack: (rows, tokens, channels), or however the model lays them out;
    rows first."""
    mask: Tensor | None


class Branch:
    """The state of one branch; a change of shape in mid-run starts it afresh."""

    def __init__(self, name: str, method: Method, total: int | None, batch: Batch) -> None:
        self.name = name
        self._method = method
        self._total = total
        self._rows, self._device, self._ranks = batch
        self._predictors: list[Predictor] = []
        """One for each stream; a stream more or less starts all afresh."""
        self.restart()
        self._ties: Ties | None = None
        self._place: Place | None = None
        self._steps_seen = 0
        self.clear_record()

    def restart(self) -> None:
        """Forget what earlier steps left, but for the record of what they did."""
        self._policy, self._predictors = self._method.policy(self._total), []
        self._answer: tuple[tuple[Kind, ...], Any] | None = None

    def release(self) -> None:
        """Nothing more will be asked but the record: let go of residuals and indicator."""
        self._policy, self._predictors, self._answer = Always(), [], None

    def clear_record(self) -> None:
        """Start the record of what the steps did afresh; what comes of later steps is not touched by it."""
        self._decisions: list[Decision] = []
        self.forward_time, self.block_time = Stopwatch(self._device), Stopwatch(self._device)

    @property
    def has_record(self) -> bool:
        return bool(self._decisions)

    def decide(
        self, stack: StackInput, place: Place, indicator: Callable[[], Tensor], latents: Callable[[], Tensor | None]
    ) -> Selection:
        """The rows to compute at this step; remembers them.

        Args:
            latents: gives the denoiser's noisy ones, rows first, where guidance may be one batch.
        """
        size = len(stack.streams[0])
        if self._ties is None or self._ties.size != size:
            if self._ties is not None:
                self.restart()
            self._ties, self._rows, self._steps_seen = Ties(size, self._method.granularity, self._ranks), size, 0
            self._all = Selection(tuple(range(size)), size)
        if self._steps_seen == 1 or (self._steps_seen == 0 and place.last):
            self._ties.watch(latents())
        self._steps_seen += 1
        self._place = place
        if len(self._predictors) != len(stack.streams):
            self._predictors = [self._method.predictor() for _ in stack.streams]
        can_skip = self._policy.skips and all(map(_can_stand_in, self._predictors, stack.streams))
        moment = Moment(place.step, self._ties, can_skip, place.last, indicator)
        decision = self._policy.decide(moment)
        self._decisions.append(decision)
        if all(decision.compute):
            return self._all
        return Selection(tuple(row for row, computes in enumerate(decision.compute) if computes), size)

    def computed(self) -> None:
        """A step ran whole without coming by the stack."""
        self._decisions.append(Decision.uniform(True, self._rows))

    def keep(self, stack: StackInput, outputs: Sequence[Tensor], rows: Selection) -> None:
        """Keep what the computed rows added to their input, for the steps that skip."""
        if not self._policy.skips or not rows.rows or any(map(records_gradients, outputs)):
            return
        assert self._place is not None
        assert self._ties is not None
        step, streams = self._place.step, []
        for before, output, predictor in zip(stack.streams, outputs, self._predictors, strict=True):
            before, after = rows.take(before), rows.take(output)
            residual = (after - before).detach().to(before.dtype)  # under autocast blocks give another type
            streams.append(Stream(after, residual, partial(predictor.error, step, residual, rows)))
        mask = None if stack.mask is None else rows.take(stack.mask)
        self._policy.observe(Computed(step, self._ties, rows, tuple(streams), mask))
        for stream, predictor in zip(streams, self._predictors, strict=True):
            predictor.keep(step, stream.residual, rows)

    def stand_in(self, stack: StackInput, rows: Selection) -> list[Tensor]:
        """The stack's outputs for skipped rows: their input plus the predicted residual."""
        assert self._place is not None
        step = self._place.step
        return [rows.take(tokens) + predictor.predict(step, rows)
                for tokens, predictor in zip(stack.streams, self._predictors, strict=True)]  # fmt: skip

    def skipped(self) -> None:
        """The denoiser did not run at this step."""
        self._decisions.append(Decision.uniform(False, self._rows))

    @property
    def keeps_answers(self) -> bool:
        """Whether the denoiser may be asked to answer without running."""
        return self._method.supply is not None

    def remember(self, inputs: tuple[Kind, ...], answer: Any) -> None:
        """Keep what the denoiser answered to latents of these kinds, for steps at which nobody will look at it."""
        traced = any(records_gradients(tensor) for tensor in tensors_in(answer))
        self._answer = None if traced else (inputs, answer)

    def answer_to(self, inputs: tuple[Kind, ...]) -> Any:
        """An answer in the form that latents of these kinds get; None where none is known."""
        return self._answer[1] if self._answer is not None and self._answer[0] == inputs else None

    def statistics(self, denoiser: str) -> CallStats:
        samples = self._rows if self._ties is None else self._ties.samples
        return CallStats(
            denoiser=denoiser,
            branch=self.name,
            rows=self._rows,
            computed=tuple(tuple(step.compute[_row(step, sample)] for step in self._decisions)
                           for sample in range(samples)),
            distances=tuple(tuple(step.distances[_row(step, sample)] for step in self._decisions)
                            for sample in range(samples)),
            block_seconds=self.block_time.seconds,
            seconds=self.forward_time.seconds,
        )  # fmt: skip


def _can_stand_in(predictor: Predictor, tokens: Tensor) -> bool:
    return predictor.can_stand_in(tokens) and not records_gradients(tokens)


def _row(step: Decision, sample: int) -> int:
    return sample % len(step.compute)


def records_gradients(tensor: Tensor) -> bool:
    """A skipped step has no gradient worth the name, so with gradients on every step is computed."""
    records = torch.is_grad_enabled() and tensor.requires_grad
    if records:
        warnings.warn(
            "gradients are being recorded, so teacache computes every step; torch.no_grad() lets it skip", stacklevel=2
        )
    return records
