"""Nightly runs over time: the outputs below one folder, each by its stats.json, and what the latest changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem

from jobs import storage
from jobs.accounting.intervals import Interval
from jobs.config.job import Alarm
from jobs.errors import Refused, redact, refusing
from jobs.nights.alarm import breaches
from jobs.nights.noise import Change, Figure, change


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure of stats.json that is followed from night to night."""

    name: str
    label: str
    path: tuple[str, ...]
    interval: tuple[str, ...] | None
    rising_is_good: bool
    unit: str = ""

    def of(self, figures: Mapping[str, Any]) -> Figure | None:
        value = _at(figures, self.path)
        if value is None:
            return None
        bounds = _at(figures, self.interval) if self.interval else None
        if bounds is None or bounds["low"] is None:
            return Figure(value=value)
        return Figure(value=value, interval=Interval(low=bounds["low"], high=bounds["high"]))


METRICS = (
    Metric(
        name="speedup",
        label="speed-up",
        path=("speedup",),
        interval=("speedup_interval",),
        rising_is_good=True,
    ),
    Metric(
        name="rows_per_second",
        label="rows per second",
        path=("run", "rows_per_second"),
        interval=None,
        rising_is_good=True,
    ),
    Metric(
        name="failure_rate",
        label="failure rate",
        path=("failure_rate",),
        interval=("failure_rate_interval",),
        rising_is_good=False,
    ),
    Metric(
        name="psnr",
        label="PSNR, median",
        path=("psnr", "median"),
        interval=("psnr",),
        rising_is_good=True,
        unit="dB",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NightlyRun:
    """One run's statistics, as in its stats.json."""

    place: str
    """Its folder, below the one that was asked about."""
    at: str
    """When its last row was made, ISO 8601 in UTC."""
    stats: Mapping[str, Any]

    @property
    def alarm(self) -> Alarm:
        return Alarm.model_validate(self.stats.get("alarm", {}))

    def figures(self, model: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.stats["models"].get(model)
        return found


def nightly_runs(url: str) -> list[NightlyRun]:
    """The runs up to two folders below a URL, oldest first. Raises Refused if there is none."""
    with refusing(f"{url}: can't be listed"):
        fs, root = storage.open_url(url)
        # A run of this process may just have been written there.
        fs.invalidate_cache()
        paths = [path for depth in ("*", "*/*") for path in fs.glob(f"{root.rstrip('/')}/{depth}/stats.json")]
    found = [run for path in paths if (run := _run(fs, str(path), root))]
    if not found:
        raise Refused(f"{redact(url)} holds no run: no */stats.json of version 2; give the folder above the outputs")
    return sorted(found, key=lambda run: (run.at, run.place))


def changes(runs: Sequence[NightlyRun], model: str) -> dict[str, Change]:
    """By metric: where the latest run stands among the earlier ones."""
    known = [figures for night in runs if (figures := night.figures(model)) is not None]
    found = {}
    for metric in METRICS:
        earlier = [figure for figures in known[:-1] if (figure := metric.of(figures)) is not None]
        found[metric.name] = change(metric.of(known[-1]), earlier)
    return found


def alarms(runs: Sequence[NightlyRun], alarm: Alarm | None = None) -> list[str]:
    """One sentence for each limit that the latest run passed: those given, else those of its own YAML."""
    latest = runs[-1]
    limits = alarm or latest.alarm
    return [
        f"{model}: {sentence}"
        for model, figures in latest.stats["models"].items()
        for sentence in breaches(limits, figures)
    ]


def models(runs: Sequence[NightlyRun]) -> list[str]:
    """Those of the latest run, for whose sake one looks."""
    return list(runs[-1].stats["models"])


def _run(fs: AbstractFileSystem, path: str, root: str) -> NightlyRun | None:
    """None for a file of another making or an older version: its figures mean something else."""
    with refusing(f"{path}: not the statistics of a job"):
        stats = json.loads(fs.cat_file(path))
        if not isinstance(stats, dict) or stats.get("version") != 2:
            return None
        made = [figures["last_created_at"] for figures in stats["models"].values() if figures["last_created_at"]]
        place = path.removeprefix(root).strip("/").removesuffix("/stats.json")
        return NightlyRun(place=place, at=max(made, default=stats["created_at"]), stats=stats)


def _at(figures: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = figures
    for name in path:
        found = None if found is None else found.get(name)
    return found
