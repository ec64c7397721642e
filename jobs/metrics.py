"""What a run does, as Prometheus sees it: names, kinds and labels, written once.

Every node's Ray exports them on its metrics port, with `ray_` before each name and `_total` behind a counter's. The
driver counts rows, steps and failures as they become durable, so what Ray runs twice counts once; stages and
restarts are counted where they happen. They are for dashboards and alarms; figures to keep stand in the manifest.

No gauges: Ray 2.60 drops one that was not set for 20 seconds. So the speed-up is a quotient of two counters,
`ray_teacache_audit_seconds_total{cache="off"}` over `{cache="on"}`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache

import ray
from ray.util.metrics import Counter, Histogram

from jobs.rows import Written
from jobs.runs import Tags

_LABELS = ("run", "model")
_SECONDS = [digit * 10.0**power for power in range(-2, 3) for digit in (1, 2, 5)]
"""Bounds of the histogram: from the upload of a small picture to the making of a long video, 0.01 to 500 seconds.

Ray 2.60 passes on bucket counts alone and makes up `_sum` from the middles of the buckets: use quantiles, not means.
"""


def watch(batches: Iterable[Written], tags: Tags, planned: int) -> Iterator[Written]:
    """Pass the batches on, counting what they add; `planned` is the rows to do in this run."""
    meters = _driver_meters()
    labels = asdict(tags)
    _add(meters.planned, planned, labels)
    for written in batches:
        _add(meters.rows, written.done + written.failed, labels)
        _add(meters.steps, written.computed, {**labels, "kind": "computed"})
        _add(meters.steps, written.steps - written.computed, {**labels, "kind": "skipped"})
        for error in written.errors:
            _add(meters.failures, 1, {**labels, "error": error})
        _add(meters.audit_seconds, written.audited_seconds, {**labels, "cache": "on"})
        _add(meters.audit_seconds, written.baseline_seconds, {**labels, "cache": "off"})
        yield written


def observe(stage: str, seconds: float, tags: Tags) -> None:
    """Seconds that one pipeline call or batch took in a stage: load, generate, audit, encode or write."""
    if ray.is_initialized():
        _stage_seconds().observe(seconds, {**asdict(tags), "stage": stage})


@contextmanager
def timed(stage: str, tags: Tags) -> Iterator[None]:
    """Observe what the body takes, unless it raises."""
    start = time.perf_counter()
    yield
    observe(stage, time.perf_counter() - start, tags)


def count_restart(tags: Tags) -> None:
    """Called by an actor as it starts: counts if it was there before and died."""
    if ray.is_initialized() and ray.get_runtime_context().was_current_actor_reconstructed:
        _restarts().inc(1, asdict(tags))


class _DriverMeters:
    def __init__(self) -> None:
        self.planned = Counter("teacache_planned_rows", "Rows that the run set out to do.", _LABELS)
        self.rows = Counter("teacache_rows", "Rows tried and written, failed ones included.", _LABELS)
        self.failures = Counter("teacache_failures", "Rows that failed, by class of error.", (*_LABELS, "error"))
        self.steps = Counter("teacache_steps", "Denoising steps of rows done, computed or skipped.", (*_LABELS, "kind"))
        audit = "Seconds of audited pipeline calls, with the cache on and off."
        self.audit_seconds = Counter("teacache_audit_seconds", audit, (*_LABELS, "cache"))


# Made when first used: before ray.init there is nobody to export them.
@cache
def _driver_meters() -> _DriverMeters:
    return _DriverMeters()


@cache
def _stage_seconds() -> Histogram:
    description = "Seconds of a pipeline call or batch in one stage."
    return Histogram("teacache_stage_seconds", description, _SECONDS, (*_LABELS, "stage"))


@cache
def _restarts() -> Counter:
    return Counter("teacache_actor_restarts", "Starts of an actor that had died.", _LABELS)


def _add(counter: Counter, value: float, labels: dict[str, str]) -> None:
    # Ray refuses to add nothing.
    if value:
        counter.inc(value, labels)
