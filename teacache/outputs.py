"""What a scheduler gets under a measured schedule: weighted sums of the computed outputs (`rollouts.py`)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from teacache.kinds import tensors_in
from teacache.scheduling import Schedule


class Supply(Protocol):
    """Supplies the scheduler through one run."""

    def skips(self, step: int) -> bool:
        """Whether the denoiser need not run at a step."""
        ...

    def unguided(self, step: int) -> bool:
        """Whether at a step that is computed only the first guidance branch need run, and answers for all."""
        ...

    def pass_on(self, step: int, output: Tensor, answers: Sequence[Any], sample: Tensor, *, computed: bool) -> Tensor:
        """What the scheduler is to get at a step.

        Args:
            output: what it would get; of no meaning unless computed.
            answers: the denoiser's, that the pipeline made the output of.
            sample: what the scheduler is to move.
        """
        ...


def parts_of(output: Tensor, answers: Sequence[Any]) -> list[Tensor]:
    """What each guidance branch says about a guided output, whether they are several calls or one batch."""
    firsts = [next(tensors_in(answer)) for answer in answers]
    return [part for first in firsts for part in torch.split(first, len(output)) if part.shape == output.shape]


class Terms:
    """What the sums are made of: the sample that a run starts from, then of every computed step the output, and where
    a pipeline makes that of several guidance branches, theirs as well; but for unguided steps, whose output is what
    the pipeline makes of one branch.

    A pipeline may scale the guided output by something that is not linear in the branches (Lumina2); then the branches
    say more than it alone. Memory: one to three outputs of the denoiser per computed step, small beside a residual (for
    FLUX a 48th: 64 channels a token in the place of 3072).
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.tensors: list[Tensor] = []
        self.outputs: list[int] = []
        """Where among the tensors the output of each step is."""

    def begin(self, sample: Tensor) -> None:
        """A run starts from a sample, or starts afresh with one of another shape."""
        here = (sample.shape, sample.device)  # not the type: schedulers turn float32 noise into the denoiser's own
        if not self.tensors or (self.tensors[0].shape, self.tensors[0].device) != here:
            self.steps, self.tensors, self.outputs = [], [sample.detach().clone()], []

    def add(self, step: int, output: Tensor, parts: Sequence[Tensor]) -> None:
        """The terms of a computed step, the output first."""
        self.steps.append(step)
        self.outputs.append(len(self.tensors))
        self.tensors += [tensor.detach().clone() for tensor in (output, *(parts if len(parts) > 1 else ()))]


class WeightedOutputs:
    """Supplies what a measured schedule says.

    A run that computes other steps than those of its schedule (one that starts later, as img2img does) passes on its
    computed outputs as they are and, where it skips, the line through the last two; so does, with a warning, one that
    has other guidance branches than the calibration had.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._terms = Terms()
        self._other_branches = self._warned = False

    def skips(self, step: int) -> bool:
        """Whether the denoiser need not run at a step: something that was computed can stand for it."""
        return bool(self._terms.steps) and step not in self._schedule.steps

    def unguided(self, step: int) -> bool:
        """Whether only the first guidance branch need run at a step, in a run that follows the schedule."""
        steps = self._schedule.steps
        return step in self._schedule.unguided and self._terms.steps == [node for node in steps if node < step]

    def pass_on(self, step: int, output: Tensor, answers: Sequence[Any], sample: Tensor, *, computed: bool) -> Tensor:
        """What the scheduler is to get at a step."""
        if computed:
            unguided, parts = self.unguided(step), parts_of(output, answers)
            self._terms.begin(sample)
            self._terms.add(step, output, () if unguided else parts)
            if unguided and max(1, len(parts)) != self._schedule.branches:
                self._other_branches = True
        weights = self._weights(step)
        if weights is not None:
            return weighted_sum(weights, self._terms.tensors, like=output)
        return output if computed else self._line(step)

    def _weights(self, step: int) -> tuple[float, ...] | None:
        """Of the terms so far; None where the schedule knows no run like this one."""
        terms, steps, rows = self._terms, self._schedule.steps, self._schedule.weights
        if step >= len(rows) or terms.steps != [node for node in steps if node <= step]:
            return None
        if len(rows[step]) == len(terms.tensors) and not self._other_branches:
            return rows[step]
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"the schedule was measured with {self._schedule.branches} guidance branches at a step, and this run "
                "has more or fewer: guidance is on in one of them only; lines stand in",
                stacklevel=2,
            )
        return None

    def _line(self, step: int) -> Tensor:
        *older, newest = [self._terms.tensors[place] for place in self._terms.outputs[-2:]]
        if not older:
            return newest
        before, last = self._terms.steps[-2:]
        if last == before:  # a loop that goes back in time and computes a step again
            return newest
        reach = (step - last) / (last - before)
        return weighted_sum((-reach, 1.0 + reach), (older[0], newest), like=newest)


def weighted_sum(weights: Sequence[float], terms: Sequence[Tensor], *, like: Tensor) -> Tensor:
    """In float32 or better, in the type of `like` in the end; a term itself where only that counts."""
    used = [(weight, term) for weight, term in zip(weights, terms, strict=True) if weight]
    if len(used) == 1 and used[0][0] == 1.0:
        return used[0][1].to(like.dtype)
    precision = torch.promote_types(like.dtype, torch.float32)
    total = torch.zeros(terms[-1].shape, dtype=precision, device=terms[-1].device)
    for weight, term in used:  # one after the other: videos have large outputs, and many
        total.add_(term.to(precision), alpha=weight)
    return total.to(like.dtype)
