"""Fit TeaCache's polynomial to what was recorded: y = p(x), x the indicator's change, y the output's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from teacache.recording import Recording

Target = Literal["output", "residual"]
Branches = Literal["all", "first", "mean", "worst"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """A fitted polynomial and how good it is."""

    coefficients: tuple[float, ...]
    """Highest degree first."""
    fitted_range: tuple[float, float]
    """The smallest and largest change of the indicator in the fit."""
    target: Target
    """Whose change it predicts: the stack output's, as published, or the residual's."""
    pairs: int
    r2: float
    """Share of the variance explained on the prompts of the fit."""
    held_out_r2: float | None
    """The same on the prompts kept from the fit; None where there were none."""
    rmse: float
    held_out_rmse: float | None
    lowest: float
    """Its smallest value on the fitted range; a negative one is clamped unless `strict`."""
    negative: tuple[tuple[float, float], ...]
    """The intervals of the fitted range where it is negative."""


def fit_polynomial(
    fit: Sequence[Recording],
    held_out: Sequence[Recording],
    *,
    degree: int = 4,
    target: Target = "output",
    intercept: bool = True,
    skip_first: int = 0,
    branches: Branches = "all",
) -> Polynomial:
    """Least squares over the pairs of consecutive steps.

    Args:
        degree: 4 as published (a line gets nearly all of it: paper, table 3).
        intercept: False fits p(0) = 0, as IonDen/mlx-teacache does.
        skip_first: leave out so many pairs at the start of each run, where changes fluctuate (ali-vilab/TeaCache,
            issues 18 and 39).
        branches: which guidance branches count: all as they are, the first, or their mean or worst at each pair.

    Raises:
        ValueError: too few pairs for the degree.
    """
    x, y = _pairs(fit, target, skip_first, branches)
    if len(x) <= degree:
        raise ValueError(f"{len(x)} pairs of steps are too few for degree {degree}; give more prompts or steps")
    coefficients = _least_squares(x, y, degree, intercept)
    held_x, held_y = _pairs(held_out, target, skip_first, branches)
    grid = np.linspace(x.min(), x.max(), 513)
    values = np.polyval(coefficients, grid)
    return Polynomial(
        coefficients=tuple(coefficients.tolist()),
        fitted_range=(float(x.min()), float(x.max())),
        target=target,
        pairs=len(x),
        r2=_r2(coefficients, x, y),
        held_out_r2=_r2(coefficients, held_x, held_y) if len(held_x) > 1 else None,
        rmse=_rmse(coefficients, x, y),
        held_out_rmse=_rmse(coefficients, held_x, held_y) if len(held_x) else None,
        lowest=float(values.min()),
        negative=_intervals(grid, values < 0),
    )


def _pairs(
    recordings: Sequence[Recording], target: Target, skip_first: int, branches: Branches
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    runs: dict[tuple[int, str], list[Recording]] = {}
    for recording in recordings:
        runs.setdefault((recording.prompt, recording.denoiser), []).append(recording)
    xs, ys = [np.empty(0)], [np.empty(0)]
    for run in runs.values():
        x = [np.array(recording.indicator[skip_first:]) for recording in run]
        y = [np.array(getattr(recording, target)[skip_first:]) for recording in run]
        if branches in ("mean", "worst"):
            length = min(map(len, x))
            x = [np.mean([each[:length] for each in x], axis=0)]
            y = [(np.mean if branches == "mean" else np.max)([each[:length] for each in y], axis=0)]
        xs += x[:1] if branches == "first" else x
        ys += y[:1] if branches == "first" else y
    return np.concatenate(xs), np.concatenate(ys)


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64], degree: int, intercept: bool) -> NDArray[np.float64]:
    if intercept:
        return np.polyfit(x, y, degree)
    powers = np.stack([x**power for power in range(degree, 0, -1)], axis=1)
    return np.append(np.linalg.lstsq(powers, y, rcond=None)[0], 0.0)


def _r2(coefficients: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    errors = np.polyval(coefficients, x) - y
    return float(1 - np.sum(errors**2) / np.sum((y - y.mean()) ** 2))


def _rmse(coefficients: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((np.polyval(coefficients, x) - y) ** 2)))


def _intervals(grid: NDArray[np.float64], inside: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    return tuple((float(grid[start]), float(grid[end - 1])) for start, end in edges.reshape(-1, 2))
