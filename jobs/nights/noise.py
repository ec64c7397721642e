"""Is a figure of tonight beyond what differs from night to night anyway?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.accounting.intervals import Interval, Z

Verdict = Literal["as usual", "higher", "lower", "not measured", "too few runs to tell"]

NIGHTS = 6
"""Earlier runs from which on their own spread says what is usual."""
DEVIATIONS = 3.0
SMALLEST = 0.005
"""Half a percent is never called a change: clocks and file systems are not better than that."""

_MAD_TO_DEVIATION = 1.4826  # Of a normal distribution.


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value; its interval where one is known."""

    value: float
    interval: Interval | None = None

    @property
    def deviation(self) -> float:
        return (self.interval.high - self.interval.low) / (2 * Z) if self.interval else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    verdict: Verdict
    usual: float | None = None
    """The median of the earlier figures."""


def change(latest: Figure | None, earlier: Sequence[Figure]) -> Change:
    """Where the latest figure stands among the earlier ones.

    From six earlier runs on, noise is their median absolute deviation, which one odd night doesn't move, or the
    latest figure's own interval if that is wider; a change is more than 3 (1 + 10 / n) deviations, which normal noise
    passes in less than 1 of 100 nights whatever n (tested). With fewer runs only intervals tell: those of the latest
    and of the run before must lie apart. That is blind to what differs between nights, and so rings more often.
    """
    if latest is None:
        return Change(verdict="not measured")
    if not earlier:
        return Change(verdict="too few runs to tell")
    usual = statistics.median(figure.value for figure in earlier)
    if len(earlier) >= NIGHTS:
        spread = _MAD_TO_DEVIATION * statistics.median(abs(figure.value - usual) for figure in earlier)
        reach = DEVIATIONS * max(spread * (1 + 10 / len(earlier)), latest.deviation, SMALLEST * abs(usual) / DEVIATIONS)
        return Change(verdict=_verdict(latest.value - usual, reach), usual=usual)
    before = earlier[-1]
    if not latest.interval or not before.interval:
        return Change(verdict="too few runs to tell", usual=usual)
    apart = latest.interval.low > before.interval.high or latest.interval.high < before.interval.low
    return Change(verdict=_verdict(latest.value - before.value, 0.0 if apart else float("inf")), usual=usual)


def _verdict(difference: float, reach: float) -> Verdict:
    if abs(difference) <= reach:
        return "as usual"
    return "higher" if difference > 0 else "lower"
