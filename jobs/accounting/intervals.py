"""How sure a measured figure is: intervals that hold the true value in 95 of 100 cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.96
"""Standard deviations that bound 95 % of a normal distribution."""

_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    low: float
    high: float


def of_ratio(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """Of sum(first) / sum(second): bootstrap over the pairs (Efron 1979). None for fewer than two."""
    if len(pairs) < 2:
        return None
    values = np.array(pairs)
    random = np.random.default_rng(0)
    drawn = (values[random.integers(len(values), size=len(values))].sum(axis=0) for _ in range(_RESAMPLES))
    low, high = np.percentile([first / second for first, second in drawn], (2.5, 97.5))
    return Interval(low=float(low), high=float(high))


def of_drawn_median(values: Sequence[float]) -> Interval | None:
    """Of the median, by bootstrap over the values, also for a few of them. None for fewer than two."""
    if len(values) < 2:
        return None
    random = np.random.default_rng(0)
    drawn = np.median(np.array(values)[random.integers(len(values), size=(_RESAMPLES, len(values)))], axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(low=float(low), high=float(high))


def of_median(values: Sequence[float]) -> Interval | None:
    """Of the median, from order statistics: the ranks n/2 -+ 0.98 sqrt(n) (Conover, section 3.2). None below six."""
    if len(values) < 6:
        return None
    ordered, half = sorted(values), Z * math.sqrt(len(values)) / 2
    low, high = math.floor(len(values) / 2 - half), math.ceil(len(values) / 2 + half)
    return Interval(low=ordered[max(0, low)], high=ordered[min(len(values) - 1, high)])


def of_share(count: int, total: int) -> Interval | None:
    """Of count / total, by Wilson's score (1927), which also holds for counts of 0. None of nothing."""
    if not total:
        return None
    share, spread = count / total, Z**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return Interval(low=max(0.0, middle - half), high=min(1.0, middle + half))
