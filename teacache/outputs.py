"""What a denoiser answers under a measured schedule: weighted sums of its computed outputs (`rollouts.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.utils import BaseOutput
from torch import Tensor

from teacache.predictors import Kind, kind_of
from teacache.rows import Selection
from teacache.scheduling import Schedule


class WeightedOutputs:
    """The computed outputs of a run so far, and what is passed on at each step.

    A run that computes other steps than those of its schedule (one that starts later, as img2img does) passes on its
    computed outputs as they are and, where it skips, the line through the last two. Memory: one output of the denoiser
    per computed step, small beside a residual (for FLUX a 48th: 64 channels a token in the place of 3072).
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._known: dict[int, Tensor] = {}

    def pass_on(self, step: int, output: Tensor, *, computed: bool) -> Tensor:
        """What the denoiser is to answer at a step.

        Args:
            output: what it does answer; of no meaning unless computed.
        """
        if computed:
            self._known[step] = output.detach()
        steps, rows = self._schedule.steps, self._schedule.weights
        if step < len(rows) and list(self._known) == [node for node in steps if node <= step]:
            return weighted_sum(rows[step], list(self._known.values()))
        return output if computed else self._line(step)

    def _line(self, step: int) -> Tensor:
        *older, newest = list(self._known)[-2:]
        if not older:
            return self._known[newest]
        reach = (step - newest) / (newest - older[0])
        return weighted_sum((-reach, 1.0 + reach), (self._known[older[0]], self._known[newest]))


def weighted_sum(weights: Sequence[float], outputs: Sequence[Tensor]) -> Tensor:
    """In float32 or better, in the outputs' own type in the end; the last output itself where only that counts."""
    if weights[-1] == 1.0 and not any(weights[:-1]):
        return outputs[-1]
    precision = torch.promote_types(outputs[-1].dtype, torch.float32)
    terms = [weight * output.to(precision) for weight, output in zip(weights, outputs, strict=True)]
    return torch.stack(terms).sum(0).to(outputs[-1].dtype)


class NoResidual:
    """Stands in for the stack where the denoiser's answer is replaced anyway: keeps nothing, adds nothing."""

    def __init__(self) -> None:
        self._like: Kind | None = None

    def keep(self, step: int, residual: Tensor, rows: Selection) -> None:
        self._like = kind_of(residual)

    def can_stand_in(self, stack_input: Tensor) -> bool:
        """Whether something was computed for an input like this one."""
        return self._like == kind_of(stack_input)

    def predict(self, step: int, rows: Selection) -> Tensor:
        assert self._like is not None
        return torch.zeros((), dtype=self._like.dtype, device=self._like.device)

    def error(self, step: int, residual: Tensor, rows: Selection) -> Tensor:
        return -residual


def replaced(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A denoiser's answer with its tensor changed: the tensor itself, the first of a tuple, or a field `sample`.

    Raises:
        TypeError: it is something else (Z-Image's list of tensors).
    """
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, BaseOutput) and isinstance(output.get("sample"), Tensor):
        return type(output)(**{**output, "sample": change(output["sample"])})
    if type(output) is tuple and output and isinstance(output[0], Tensor):
        return (change(output[0]), *output[1:])
    raise TypeError(f"a measured schedule needs a denoiser that answers with one tensor, got {type(output)}; "
                    "ScheduleConfig(order=1) extrapolates residuals instead")  # fmt: skip
