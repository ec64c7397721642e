"""Numbers to places on a drawing: what the templates then draw as SVG, in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 360, 150
"""Of a plot, in SVG units: about pixels on a phone."""
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 18, 24
"""Margins, for the axes' labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A scale from values to places between `start` and `end`, with round ticks."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        step = _round_step((self.high - self.low) / 4)
        first = math.ceil(self.low / step - 1e-9)
        return [round(number * step, 10) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    bars: list[Bar]
    x: Axis
    y: Axis


def histogram(values: Sequence[float], num_bars: int = 24) -> Histogram | None:
    """Equal bars over the values' own range; None if there is nothing to show."""
    if not values:
        return None
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins=min(num_bars, max(6, 2 * math.isqrt(len(values)))), range=(low, high))
    bars = [
        Bar(low=float(edges[index]), high=float(edges[index + 1]), count=int(count))
        for index, count in enumerate(counts)
    ]
    x = Axis(low=low, high=high, start=LEFT, end=WIDTH - RIGHT)
    return Histogram(bars=bars, x=x, y=Axis(low=0, high=max(counts), start=HEIGHT - BOTTOM, end=TOP))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One measured figure: its place, its interval where it has one, and whether it stands out."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Figures in a row from left to right, such as one a night."""

    dots: list[Dot]
    x: Axis
    y: Axis


def dots(values: Sequence[Dot]) -> Dots | None:
    """The figures over their own range, widened by a tenth. None if there is nothing to show."""
    if not values:
        return None
    reach = [bound for dot in values for bound in (dot.value, dot.low, dot.high) if bound is not None]
    low, high = min(reach), max(reach)
    margin = (high - low) / 10 or max(abs(high), 1.0) / 10
    x = Axis(low=-0.5, high=len(values) - 0.5, start=LEFT, end=WIDTH - RIGHT)
    bottom = max(0.0, low - margin) if low >= 0 else low - margin
    y = Axis(low=bottom, high=high + margin, start=HEIGHT - BOTTOM, end=TOP)
    return Dots(dots=list(values), x=x, y=y)


def heat(rows_by_step: Sequence[int], computed_by_step: Sequence[int]) -> list[float]:
    """Step by step the share of rows that had it computed."""
    return [computed / rows if rows else 0.0 for rows, computed in zip(rows_by_step, computed_by_step, strict=True)]


def _round_step(about: float) -> float:
    """1, 2 or 5 times a power of ten, at least about so much."""
    if about <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= about * 0.999)
