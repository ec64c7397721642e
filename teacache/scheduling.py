"""Find the best computed steps from what was recorded: dynamic programming over lines through residuals.

Computing exactly at steps s_1 < ... < s_K and standing in for the others with the line through the last two computed
residuals costs the sum of the errors in between. The error at a step depends on the last two computed steps only, so
the best list for every K follows from the best lists that end in each pair (previous, current).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teacache.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The best list of a given number of computed steps."""

    steps: tuple[int, ...]
    """The computed steps, as the scheduler numbers them."""
    error: float
    """With weights the relative error of the calibrated runs' results. Otherwise the predicted error of lines through
    residuals: weighted relative errors of the stack's output, summed over the skipped steps."""
    weights: tuple[tuple[float, ...], ...] = ()
    """For each step of a run, what each term known so far counts in what is passed on (`outputs.py`): the first sample,
    then of every computed step the guided output and, where guidance has several branches, theirs."""
    branches: int = 1
    """Of the guidance, in the runs that the weights were measured on."""
    unguided: tuple[int, ...] = ()
    """The computed steps at which only the first branch runs."""

    @property
    def computed(self) -> float:
        """How many steps' worth of the denoiser: an unguided step counts one branch of all."""
        return len(self.steps) - len(self.unguided) * (1 - 1 / self.branches)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Schedule:
        """From what `dataclasses.asdict` made, also after a way through JSON, which is exact."""
        weights = tuple(map(tuple, data.get("weights", ())))
        return cls(
            steps=tuple(data["steps"]),
            error=data["error"],
            weights=weights,
            branches=data.get("branches", max(1, len(weights[0]) - 2) if weights else 1),
            unguided=tuple(data.get("unguided", ())),
        )


def find_schedules(recordings: Sequence[Recording]) -> tuple[Schedule, ...]:
    """The best schedule for every number of computed steps from 2 to all; the first and the last are always computed.

    Branches that stop early (Lumina2's `cfg_trunc_ratio`) have no say in it.

    Raises:
        ValueError: the runs start at different steps.
    """
    longest = max(recording.steps for recording in recordings)
    whole = [recording for recording in recordings if recording.steps == longest]
    starts = {recording.first_step for recording in whole}
    if len(starts) != 1:
        raise ValueError(f"schedules need runs that start alike, got steps {sorted(starts)}")
    (first_step,) = starts
    errors = np.mean([line_errors(recording) for recording in whole], axis=0)
    return tuple(_best(errors, count, first_step) for count in range(min(2, longest), longest + 1))


def line_errors(recording: Recording) -> NDArray[np.float64]:
    """errors[a, b, j]: how wrong the line through the residuals of steps a < b is at step j > b.

    Relative to the stack's output there, times the scheduler's sensitivity. errors[b, b, j] is that of the residual of
    b alone.
    """
    products, norms = np.array(recording.products), np.array(recording.norms)
    count = recording.steps
    weights = np.array(recording.sensitivities[recording.first_step :][:count] or [1.0] * count)
    errors = np.zeros((count, count, count))
    for b in range(count):
        for a in range(b + 1):
            for j in range(b + 1, count):
                reach = (j - b) / (b - a) if a < b else 0.0
                line = np.array([1.0, -(1.0 + reach), reach])  # of the residuals of j, b and a
                chosen = products[np.ix_((j, b, a), (j, b, a))]
                square = max(0.0, float(line @ chosen @ line))
                errors[a, b, j] = weights[j] * np.sqrt(square / norms[j])
    return errors


def _best(errors: NDArray[np.float64], computed: int, first_step: int) -> Schedule:
    """The cheapest list of `computed` steps that starts with the first one and ends with the last one."""
    count = len(errors)
    if count == 1:
        return Schedule(steps=(first_step,), error=0.0)
    # gaps[a, b, c]: the errors of all skipped steps between b and the next computed step c.
    gaps = np.concatenate([np.zeros((count, count, 1)), np.cumsum(errors, axis=2)[:, :, :-1]], axis=2)
    # cost[a, b]: the cheapest list so far whose last two steps are a and b; (0, 0) stands for the first step alone.
    cost = np.full((count, count), np.inf)
    cost[0, 0] = 0.0
    trail: list[NDArray[np.intp]] = []
    for _ in range(computed - 1):
        through = cost[:, :, None] + gaps
        for b in range(count):
            through[:, b, : b + 1] = np.inf  # steps go up
        trail.append(through.argmin(axis=0))
        cost = through.min(axis=0)
    b, c = int(cost[:, -1].argmin()), count - 1
    error, steps = float(cost[b, c]), [c]
    for came_from in reversed(trail):
        steps.append(b)
        b, c = int(came_from[b, c]), b
    return Schedule(steps=tuple(first_step + step for step in reversed(steps)), error=error)
