"""When is the block stack computed? One policy object per guidance branch of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from teacache.configs import TeaCacheConfig
from teacache.models import relative_l1


@dataclass(frozen=True, slots=True)
class Moment:
    """What a policy may look at before a step."""

    can_skip: bool
    """Whether there is a residual to stand in for the stack."""
    last: bool
    """Whether this is known to be the run's last step."""
    indicator: Callable[[], Tensor]
    """Evaluates the model's indicator; only a policy that needs it pays for it."""


@dataclass(frozen=True, slots=True)
class Decision:
    compute: bool
    distance: float | None = None
    """The indicator's relative L1 change, where the policy measured it."""


class Policy(Protocol):
    @property
    def skips(self) -> bool:
        """Whether the policy ever skips; without that, residuals need not be kept."""
        ...

    def decide(self, moment: Moment) -> Decision:
        """Called once per step, computed or not, in order."""
        ...

    def observe(self, stack_input: Tensor, stack_output: Tensor) -> None:
        """Called after every computed step."""
        ...


class Always:
    """Computes every step."""

    skips = False

    def decide(self, moment: Moment) -> Decision:
        return Decision(compute=True)

    def observe(self, stack_input: Tensor, stack_output: Tensor) -> None:
        pass


class TeaCache:
    """The published rule: accumulate the rescaled change of the indicator and skip while the sum is small.

    The change is always measured against the step just before, computed or skipped (TeaCache4FLUX/teacache_flux.py),
    and the sum starts again from zero at every computed step, whose own change is dropped.
    """

    skips = True

    def __init__(self, config: TeaCacheConfig, coefficients: tuple[float, ...],
                 fitted_range: tuple[float, float] | None) -> None:  # fmt: skip
        self._config = config
        self._coefficients = coefficients
        self._range = fitted_range or (0.0, math.inf)
        self._previous: Tensor | None = None
        self._accumulated = 0.0
        self._skips = 0

    def decide(self, moment: Moment) -> Decision:
        indicator = moment.indicator()
        distance = None
        compute = True
        if self._previous is not None and moment.can_skip and not moment.last:
            dtype = None if self._config.strict else torch.float32
            distance = relative_l1(indicator, self._previous, dtype=dtype).item()
            self._accumulated += self._rescaled(distance)
            compute = not self._accumulated < self._config.rel_l1_thresh or self._config.rel_l1_thresh == 0
            if not self._config.strict:
                compute = compute or self._skips >= self._config.max_consecutive_skips
        self._previous = indicator
        self._skips = 0 if compute else self._skips + 1
        if compute:
            self._accumulated = 0.0
        return Decision(compute=compute, distance=distance)

    def observe(self, stack_input: Tensor, stack_output: Tensor) -> None:
        pass

    def _rescaled(self, distance: float) -> float:
        if self._config.strict:
            return polynomial(self._coefficients, distance)
        low, high = self._range
        value = polynomial(self._coefficients, distance if math.isnan(distance) else min(max(distance, low), high))
        return math.inf if math.isnan(value) else max(0.0, value)  # max() would hide it and freeze the picture


def polynomial(coefficients: tuple[float, ...], x: float) -> float:
    """The value at `x`, in double precision, highest degree first (Horner)."""
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value
