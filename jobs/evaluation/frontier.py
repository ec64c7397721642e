"""What each setting came to: cost, speed-up and fidelity with intervals; and which settings are worth having."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from jobs.accounting import intervals
from jobs.accounting.intervals import Interval
from jobs.config.targets import LOWER_IS_BETTER
from jobs.evaluation.settings import Setting
from jobs.evaluation.trials import Trial

MEASURES = ("psnr", "ssim", "ms_ssim", "lpips", "worst_psnr", "flicker")
"""Columns of a trial that tell of fidelity."""

_SMALLER = LOWER_IS_BETTER | {"flicker"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """Of a measure over the prompts."""

    value: float
    interval: Interval | None
    """Bootstrap over prompts."""
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting over a number of trials."""

    setting: Setting
    rows: int
    failed: int
    saving: float
    """Steps of the uncached run over those computed."""
    speedup: float
    """Seconds of the pipeline call without the cache over those with it."""
    speedup_interval: Interval | None
    """Bootstrap over batches: rows of one share their times."""
    medians: dict[str, Median]
    """Of the MEASURES that were taken."""

    @property
    def values(self) -> dict[str, float]:
        return {name: median.value for name, median in self.medians.items()}


def points_of(settings: Sequence[Setting], trials: Iterable[Trial]) -> list[Point]:
    """In the order of the settings; one whose trials all failed is left out."""
    by_setting = defaultdict(list)
    for trial in trials:
        by_setting[trial.method, trial.label].append(trial)
    found = (_point(setting, by_setting[setting.method, setting.label]) for setting in settings)
    return [point for point in found if point is not None]


def frontier(points: Sequence[Point], measure: str) -> list[Point]:
    """Those that no other beats in both saving and the measure's median, by saving."""
    measured = sorted((point for point in points if measure in point.medians), key=lambda point: -point.saving)
    kept: list[Point] = []
    for point in measured:
        if not kept or better(measure, point.values[measure], kept[-1].values[measure]):
            if kept and kept[-1].saving == point.saving:
                kept.pop()
            kept.append(point)
    return kept[::-1]


def better(measure: str, value: float, other: float) -> bool:
    return value < other if measure in _SMALLER else value > other


def _point(setting: Setting, trials: Sequence[Trial]) -> Point | None:
    good = [trial for trial in trials if not trial.error]
    if not good:
        return None
    calls: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for trial in good:
        uncached, cached = calls[trial.batch]
        calls[trial.batch] = (uncached + (trial.baseline_seconds or 0.0), cached + (trial.seconds or 0.0))
    pairs = list(calls.values())
    return Point(
        setting=setting,
        rows=len(good),
        failed=len(trials) - len(good),
        saving=sum(trial.baseline_steps or 0 for trial in good) / max(1, sum(trial.computed or 0 for trial in good)),
        speedup=sum(uncached for uncached, _ in pairs) / sum(cached for _, cached in pairs),
        speedup_interval=intervals.of_ratio(pairs),
        medians={name: found for name in MEASURES if (found := _median(name, good))},
    )


def _median(measure: str, trials: Sequence[Trial]) -> Median | None:
    values = [value for trial in trials if (value := getattr(trial, measure)) is not None]
    if not values:
        return None
    worst = max(values) if measure in _SMALLER else min(values)
    return Median(value=median(values), interval=intervals.of_drawn_median(values), worst=worst)
