"""When is the block stack computed? One policy object per guidance branch of a run; it decides for every row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from teacache.changes import Changes
from teacache.configs import AdaptiveConfig, ScheduleConfig, TeaCacheConfig
from teacache.recipe import Recipe
from teacache.rows import Selection, Ties, row_norms


class Moment(NamedTuple):
    """What a policy may look at before a step."""

    step: int
    """The number of the step in the run, from 0."""
    ties: Ties
    can_skip: bool
    """Whether there is a residual to stand in for the stack."""
    last: bool
    """Whether this is known to be the run's last step."""
    indicator: Callable[[], Tensor]
    """Evaluates the model's indicator, (rows, ...), which the model may write into later; only a policy that needs it
    pays for it."""


class Stream(NamedTuple):
    """What the stack made of one stream of tokens, in the rows that were computed."""

    output: Tensor
    residual: Tensor
    error: Callable[[], Tensor]
    """How far off the residual is that would have stood in, as a tensor of its own. To be asked once."""


class Computed(NamedTuple):
    """What a policy may look at after some rows were computed."""

    step: int
    ties: Ties
    rows: Selection
    streams: tuple[Stream, ...]
    """The hidden states, and what else leaves the stack."""
    mask: Tensor | None
    """Of the hidden states: (rows, tokens), True for tokens that count; None where all do."""


class Decision(NamedTuple):
    """Row by row."""

    compute: tuple[bool, ...]
    distances: tuple[float | None, ...]
    """What the policy measured; None where nothing was."""

    @classmethod
    def uniform(cls, compute: bool, size: int) -> Decision:
        return cls((compute,) * size, (None,) * size)


class Policy(Protocol):
    @property
    def skips(self) -> bool:
        """Whether the policy ever skips; without that, residuals need not be kept."""
        ...

    def decide(self, moment: Moment) -> Decision:
        """Called once per step, computed or not, in order."""
        ...

    def observe(self, computed: Computed) -> None:
        """Called after every step on which something was computed."""
        ...


class Always:
    """Computes every step."""

    skips = False

    def decide(self, moment: Moment) -> Decision:
        return Decision.uniform(True, moment.ties.size)

    def observe(self, computed: Computed) -> None:
        pass


class TeaCache:
    """The published rule: accumulate the rescaled change of the indicator and skip while the sum is small.

    The change is always measured against the step just before, computed or skipped (TeaCache4FLUX/teacache_flux.py),
    and the sum starts again from zero at every computed step, whose own change is dropped.
    """

    skips = True

    def __init__(self, config: TeaCacheConfig, recipe: Recipe, total: int | None = None) -> None:
        """
        Args:
            total: how many steps the run has, where that is known.
        """
        self._config = config
        self._coefficients = recipe.coefficients
        self._range = recipe.fitted_range or (0.0, math.inf)
        self._first, self._last = recipe.first_steps(total), recipe.last
        self._changes = Changes(strict=config.strict)
        self._accumulated: list[float] = []
        self._skips: list[int] = []
        self._seen = 0

    def decide(self, moment: Moment) -> Decision:
        size = moment.ties.size
        if moment.last and self._last:  # nobody will look at its indicator
            return Decision.uniform(True, size)
        indicator = moment.indicator().detach()
        if self._config.granularity == "batch":
            indicator = indicator.unsqueeze(0)
        forced = self._seen < self._first or not moment.can_skip
        self._seen += 1
        if forced or not self._changes.comparable(indicator):
            self._changes.remember(indicator)
            self._accumulated, self._skips = [0.0] * size, [0] * size
            return Decision.uniform(True, size)
        distances = moment.ties.ratios(self._changes.measure(indicator), range(size))
        compute = tuple(self._crosses(row, distance) for row, distance in enumerate(distances))
        for row, computes in enumerate(compute):
            self._skips[row] = 0 if computes else self._skips[row] + 1
            self._accumulated[row] = 0.0 if computes else self._accumulated[row]
        return Decision(compute, tuple(distances))

    def observe(self, computed: Computed) -> None:
        pass

    def _crosses(self, row: int, distance: float) -> bool:
        self._accumulated[row] += self._rescaled(distance)
        crosses = not self._accumulated[row] < self._config.rel_l1_thresh or self._config.rel_l1_thresh == 0
        return crosses or (not self._config.strict and self._skips[row] >= self._config.max_consecutive_skips)

    def _rescaled(self, distance: float) -> float:
        if self._config.strict:
            return polynomial(self._coefficients, distance)
        low, high = self._range
        value = polynomial(self._coefficients, distance if math.isnan(distance) else min(max(distance, low), high))
        return math.inf if math.isnan(value) else max(0.0, value)  # max() would hide it and freeze the picture


class Adaptive:
    """Error control, as in the solvers of ordinary differential equations.

    A computed step tells for free how wrong the line through the two residuals before it would have been; an error
    of a line grows with the product of the distances from its two nodes, so it gives the residual's curvature. The
    next computed step is then chosen at once: as many are skipped as keep the sum of the predicted errors, each times
    the scheduler's sensitivity at its step, within the tolerance. Of several streams the one with the largest relative
    error has the say.
    """

    skips = True

    def __init__(self, config: AdaptiveConfig, weights: Sequence[float] = ()) -> None:
        """
        Args:
            weights: how much an error at each step counts; 1 for those beyond the end.
        """
        self._config = config
        self._weights = weights
        self._computed: list[list[int]] = []
        self._due: list[int] = []
        """Row by row, the next step to compute."""

    def decide(self, moment: Moment) -> Decision:
        size = moment.ties.size
        if not self._due or not moment.can_skip:
            self._computed, self._due = [[] for _ in range(size)], [moment.step] * size
        compute = tuple(moment.last or moment.step >= due for due in self._due)
        return Decision(compute, (None,) * size)

    def observe(self, computed: Computed) -> None:
        step, rows = computed.step, computed.rows.rows
        for row in rows:
            self._due[row] = step + 1
        if all(len(self._computed[row]) >= 2 for row in rows):
            for row, error in zip(rows, computed.ties.ratios(_errors(computed), rows), strict=True):
                older, newer = self._computed[row]
                self._due[row] = self._next(step, newer, error / ((step - older) * (step - newer)))
        for row in rows:
            self._computed[row] = [*self._computed[row][-1:], step]

    def _next(self, step: int, node: int, curvature: float) -> int:
        """The step to compute after `step`, whose line goes through `node` as well."""
        total = 0.0
        for ahead in range(step + 1, step + 1 + self._config.max_consecutive_skips):
            total += curvature * (ahead - step) * (ahead - node) * self._weight(ahead)
            if not total <= self._config.tolerance:
                return ahead
        return step + 1 + self._config.max_consecutive_skips

    def _weight(self, step: int) -> float:
        return self._weights[step] if step < len(self._weights) else 1.0


class Schedule:
    """Computes the steps of a list."""

    skips = True

    def __init__(self, config: ScheduleConfig) -> None:
        self._steps = frozenset(config.steps)

    def decide(self, moment: Moment) -> Decision:
        return Decision.uniform(not moment.can_skip or moment.step in self._steps, moment.ties.size)

    def observe(self, computed: Computed) -> None:
        pass


def _errors(computed: Computed) -> Tensor:
    """Row by row the error of what would have stood in, and the output that it is relative to: shape (2, rows).

    Where a row has several streams, the quotient of the two is the largest of theirs.
    """
    hidden_states, *further = computed.streams
    norms = _norms(hidden_states, computed.mask)
    for stream in further:
        error, output = _norms(stream, None)
        norms[0] = torch.maximum(norms[0], error / output * norms[1])
    return norms


def _norms(stream: Stream, mask: Tensor | None) -> Tensor:
    """Row by row of the error and of the output."""
    error, output = stream.error(), stream.output
    if mask is not None:
        counts = mask.reshape(*mask.shape, *[1] * (output.ndim - mask.ndim))
        error, output = error * counts, output * counts
    norms = row_norms(error, spare=error)
    return torch.stack([norms, row_norms(output, spare=error if output.dtype == error.dtype else None)])


def polynomial(coefficients: tuple[float, ...], x: float) -> float:
    """The value at `x`, in double precision, highest degree first (Horner)."""
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value
