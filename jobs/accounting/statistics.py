"""What a job came to, per model: sums over manifest rows, and the ratios that follow from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.accounting import intervals
from jobs.accounting.intervals import Interval
from jobs.rows import strings

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One audited pipeline call, summed over its rows: seconds with the cache, and without."""

    seconds: float = 0.0
    baseline_seconds: float = 0.0

    def __add__(self, other: Pair) -> Pair:
        return Pair(
            seconds=self.seconds + other.seconds,
            baseline_seconds=self.baseline_seconds + other.baseline_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """One model's sums. They add in any order; none is `Statistics()`. Memory grows with audited rows only."""

    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Pipeline calls of the rows done, audits apart."""
    steps: int = 0
    computed: int = 0
    num_bytes: int = 0
    gpu_seconds: float = 0.0
    """`seconds`, times the GPUs of the actor; `cpu_seconds` likewise."""
    cpu_seconds: float = 0.0
    audit_gpu_seconds: float = 0.0
    """What the audit's uncached twins took on top."""
    audit_cpu_seconds: float = 0.0
    pairs: dict[str, Pair] = field(default_factory=dict)
    """By pipeline call."""
    psnr: tuple[float, ...] = ()
    ssim: tuple[float, ...] = ()
    rows_by_step: tuple[int, ...] = ()
    """How many rows went through the first step, the second, ...; guidance branches counted each."""
    computed_by_step: tuple[int, ...] = ()
    """Of those, how many had it computed."""
    first_created_at: datetime | None = None
    last_created_at: datetime | None = None

    def __add__(self, other: Statistics) -> Statistics:
        pairs = dict(self.pairs)
        for call, pair in other.pairs.items():
            pairs[call] = pairs.get(call, Pair()) + pair
        return Statistics(
            done=self.done + other.done,
            failed=self.failed + other.failed,
            seconds=self.seconds + other.seconds,
            steps=self.steps + other.steps,
            computed=self.computed + other.computed,
            num_bytes=self.num_bytes + other.num_bytes,
            gpu_seconds=self.gpu_seconds + other.gpu_seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            audit_gpu_seconds=self.audit_gpu_seconds + other.audit_gpu_seconds,
            audit_cpu_seconds=self.audit_cpu_seconds + other.audit_cpu_seconds,
            pairs=pairs,
            psnr=(*self.psnr, *other.psnr),
            ssim=(*self.ssim, *other.ssim),
            rows_by_step=_added(self.rows_by_step, other.rows_by_step),
            computed_by_step=_added(self.computed_by_step, other.computed_by_step),
            first_created_at=min(_known(self.first_created_at, other.first_created_at), default=None),
            last_created_at=max(_known(self.last_created_at, other.last_created_at), default=None),
        )

    @property
    def audited(self) -> int:
        return len(self.psnr)

    @property
    def pictures_per_second(self) -> float | None:
        """Of one busy actor."""
        return self.done / self.seconds if self.seconds else None

    @property
    def computed_share(self) -> float | None:
        return self.computed / self.steps if self.steps else None

    @property
    def speedup(self) -> float | None:
        """Measured: seconds of the audited calls without the cache over those with it. None if none was audited."""
        seconds = sum(pair.seconds for pair in self.pairs.values())
        return sum(pair.baseline_seconds for pair in self.pairs.values()) / seconds if seconds else None

    @property
    def speedup_interval(self) -> Interval | None:
        """Resampled by audited call: rows of a call share one timing and stay together."""
        calls = (self.pairs[call] for call in sorted(self.pairs))
        return intervals.of_ratio([(call.baseline_seconds, call.seconds) for call in calls])

    @property
    def failure_rate(self) -> float | None:
        rows = self.done + self.failed
        return self.failed / rows if rows else None

    @property
    def failure_rate_interval(self) -> Interval | None:
        return intervals.of_share(self.failed, self.done + self.failed)

    @property
    def unit(self) -> str:
        """What its hours count: gpu, or cpu where no GPU was used."""
        return "gpu" if self.gpu_seconds else "cpu"

    @property
    def hours(self) -> float:
        return (self.gpu_seconds or self.cpu_seconds) / 3600

    @property
    def audit_hours(self) -> float:
        return (self.audit_gpu_seconds or self.audit_cpu_seconds) / 3600

    @property
    def hours_saved(self) -> float | None:
        """What the rows done would have taken more at the measured speed-up, before the audit's own cost.

        None where that can't be told from none: no step was skipped, or the speed-up's interval holds 1 or is unknown.
        """
        speedup, interval = self.speedup, self.speedup_interval
        if speedup is None or interval is None or self.computed == self.steps or interval.low <= 1 <= interval.high:
            return None
        return self.hours * (speedup - 1)


COLUMNS = (
    *("model", "error", "batch", "seconds", "baseline_seconds", "steps", "computed", "num_bytes"),
    *("num_gpus", "num_cpus", "psnr", "ssim", "computed_mask", "created_at"),
)
"""The manifest columns that statistics are made of."""


def per_model(batches: Iterable[pa.RecordBatch]) -> dict[str, Statistics]:
    """Add up manifest rows, model by model."""
    totals: dict[str, Statistics] = defaultdict(Statistics)
    for rows in _chunks(batches):
        for model in strings(pc.unique(rows["model"])):
            totals[model] += summed(rows.filter(pc.equal(rows["model"], pa.scalar(model))))
    return dict(sorted(totals.items()))


def summed(rows: pa.Table) -> Statistics:
    """The statistics of one model's rows."""
    done = rows.filter(pc.equal(rows["error"], pa.scalar("")))
    audits = done.filter(pc.is_valid(done["psnr"]))
    rows_by_step, computed_by_step = _by_step(done["computed_mask"])
    return Statistics(
        done=len(done),
        failed=len(rows) - len(done),
        seconds=_sum(done["seconds"]),
        steps=int(_sum(done["steps"])),
        computed=int(_sum(done["computed"])),
        num_bytes=int(_sum(done["num_bytes"])),
        gpu_seconds=_sum(pc.multiply(done["seconds"], done["num_gpus"])),
        cpu_seconds=_sum(pc.multiply(done["seconds"], done["num_cpus"])),
        audit_gpu_seconds=_sum(pc.multiply(done["baseline_seconds"], done["num_gpus"])),
        audit_cpu_seconds=_sum(pc.multiply(done["baseline_seconds"], done["num_cpus"])),
        pairs=_pairs(audits),
        psnr=tuple(audits["psnr"].to_numpy().tolist()),
        ssim=tuple(audits["ssim"].to_numpy().tolist()),
        rows_by_step=rows_by_step,
        computed_by_step=computed_by_step,
        first_created_at=pc.min(rows["created_at"]).as_py(),
        last_created_at=pc.max(rows["created_at"]).as_py(),
    )


def fidelity(values: tuple[float, ...]) -> tuple[float, float] | None:
    """Median and worst of PSNR or SSIM, None if nothing was audited."""
    return (median(values), min(values)) if values else None


def _pairs(audits: pa.Table) -> dict[str, Pair]:
    sums = audits.group_by("batch").aggregate([("seconds", "sum"), ("baseline_seconds", "sum")])
    return {
        row["batch"]: Pair(seconds=row["seconds_sum"], baseline_seconds=row["baseline_seconds_sum"])
        for row in sums.to_pylist()
    }


def _by_step(masks: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How many rows went through each step, and how many had it computed. Masks are few: rows of a call share one."""
    reached: tuple[int, ...] = ()
    computed: tuple[int, ...] = ()
    for row in pc.value_counts(pc.drop_null(masks)).to_pylist():
        for branch in row["values"].split():
            reached = _added(reached, (row["counts"],) * len(branch))
            computed = _added(computed, tuple(row["counts"] * (step == "1") for step in branch))
    return reached, computed


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip_longest(one, other, fillvalue=0))


def _known(*times: datetime | None) -> list[datetime]:
    return [time for time in times if time is not None]


def _sum(values: Any) -> float:
    return pc.sum(values).as_py() or 0.0


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Files hold a batch of rows each; adding them one by one would copy the audited rows each time."""
    held: list[pa.RecordBatch] = []
    num_rows = 0
    for batch in batches:
        held.append(batch)
        num_rows += batch.num_rows
        if num_rows >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held, num_rows = [], 0
    if held:
        yield pa.Table.from_batches(held)
