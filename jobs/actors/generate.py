"""One pipeline with its cache: samples in, rows with raw pixels out."""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

import pyarrow as pa
import ray
import torch

import teacache
from jobs import metrics
from jobs.accounting.audit import audited, uncached_first
from jobs.actors import loading, together
from jobs.actors.pixels import Pixels, check_size, pixels_of
from jobs.actors.texts import Texts
from jobs.config.cache import Cache
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.errors import DeviceLost, Failure, JobFailed, attempt
from jobs.rows import Made, Sample, table, values
from jobs.runs import Tags

_WARM_UP_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pipeline call: its pictures or videos, its seconds in all, and what the denoiser did."""

    pixels: Pixels
    num_frames: int | None
    faults: list[str]
    """For each picture or video, what makes it none, or nothing."""
    seconds: float
    stats: teacache.Stats


class Generate:
    """One pipeline on its device, called with one batch of samples after the other.

    A row that fails becomes a row with its error. Raises JobFailed if the pipeline can't be loaded, DeviceLost if no
    more calls can be made.
    """

    def __init__(
        self, model: Model, generation: Generation, actors: Actors, audit_fraction: float, run: str = ""
    ) -> None:
        torch.set_num_threads(max(1, int(actors.num_cpus)))
        self._tags = Tags(run=run, model=model.name)
        metrics.count_restart(self._tags)
        with metrics.timed("load", self._tags):
            loaded = attempt(lambda: loading.load(model, "cuda" if actors.num_gpus else "cpu"))
        if isinstance(loaded, Failure):
            raise JobFailed(f"can't be loaded: {loaded.error}")
        self.pipeline, self._cache = loaded
        self._texts = Texts(self.pipeline)
        self._extra = generation.extra
        self._exact = actors.exact
        self._audit_fraction = 0.0 if model.cache.method == "none" else audit_fraction
        self._warm: set[tuple[object, ...]] = set()
        self._fits: dict[tuple[object, ...], int] = {}
        """Rows per call that memory sufficed for, of the kinds of which it did not for more."""
        self._columns: dict[str, Any] = {
            "model": model.name,
            "cache": model.cache.to_json(),
            "actor": _actor_id(),
            "num_gpus": actors.num_gpus or 0.0,
            # Those used: one that asks for less than a CPU, to share it, computes on one all the same.
            "num_cpus": max(actors.num_cpus, float(torch.get_num_threads())),
            "versions": json.dumps(versions()),
        }

    def __call__(self, batch: pa.Table) -> pa.Table:
        samples = [Sample(**row) for row in batch.to_pylist()]
        groups = ([sample] for sample in samples) if self._exact else alike(samples)
        made = {row.id: row for group in groups for row in self._rows(group)}
        return table(Made, (made[sample.id] for sample in samples))

    @contextmanager
    def cached_by(self, cache: Cache) -> Iterator[None]:
        """Inside, another cache, which stays; and every text is encoded, so that runs compared spend the same on it."""
        teacache.disable(self.pipeline)
        self._cache = teacache.enable(self.pipeline, cache.config)
        self._columns["cache"] = cache.to_json()
        with self._texts.paused():
            yield

    def _rows(self, group: Sequence[Sample]) -> list[Made]:
        """Together if that works; in halves where memory runs out, and one by one where only one may be at fault."""
        fits = self._fits.get(group[0].call, len(group))
        if len(group) > fits:
            return [row for part in _parts(group, fits) for row in self._rows(part)]
        rows = together.agreed(attempt(lambda: self._made(group)))
        if not isinstance(rows, Failure):
            return rows
        if rows.device_lost:
            raise DeviceLost(rows.error)
        self._cache.discard()
        if rows.out_of_memory:
            _free_memory()
        if len(group) == 1:
            return [self._row(group[0], group, error=rows.error)]
        if rows.out_of_memory:
            self._fits[group[0].call] = len(group) // 2
            return self._rows(group)
        return [row for sample in group for row in self._rows([sample])]

    def _made(self, group: Sequence[Sample]) -> list[Made]:
        if any(sample.prompt is None for sample in group):
            raise ValueError("the prompt is null")
        audit = audited(group[0].id, self._audit_fraction)
        self._warm_up(group, audit)
        with self._texts.paused() if audit else nullcontext():
            baseline = self._run_uncached(group) if audit and uncached_first(group[0].id) else None
            cached = self._run(group)
            if audit and baseline is None:
                baseline = self._run_uncached(group)
        metrics.observe("generate", cached.seconds, self._tags)
        if baseline:
            metrics.observe("audit", baseline.seconds, self._tags)
        return [self._made_row(group, index, cached, baseline) for index in range(len(group))]

    def _warm_up(self, group: Sequence[Sample], audit: bool) -> None:
        """First calls are slow (kernels load, memory is claimed): not a matter of caching, so not in its ratio.

        What is slow is the first of each shape; only where it is measured is it worth a call for each.
        """
        shape = (*group[0].call, len(group))
        if shape not in self._warm if audit else not self._warm:
            with self._cache.paused():  # a schedule is for the job's number of steps, and would refuse these
                self.pipeline(**self._arguments(group) | {"num_inference_steps": _WARM_UP_STEPS})
            self._cache.take_stats()
            self._warm.add(shape)

    def _run_uncached(self, group: Sequence[Sample]) -> Run:
        with self._cache.paused():
            return self._run(group)

    def _run(self, group: Sequence[Sample]) -> Run:
        start = time.perf_counter()
        result = self.pipeline(**self._arguments(group))
        pixels, num_frames, faults = pixels_of(result)
        seconds = time.perf_counter() - start
        stats = self._cache.take_stats()
        check_size(group[0], pixels)
        return Run(pixels=pixels, num_frames=num_frames, faults=faults, seconds=seconds, stats=stats)

    def _arguments(self, group: Sequence[Sample]) -> dict[str, Any]:
        shared = group[0].arguments
        if "negative_prompt" in shared:
            shared["negative_prompt"] = [sample.negative_prompt for sample in group]
        return {
            **self._extra,
            **shared,
            "prompt": [sample.prompt for sample in group],
            # On the CPU, one each: the same noise for a row whatever its batch and device.
            "generator": [torch.Generator().manual_seed(sample.seed) for sample in group],
            "output_type": "pt",
        }

    def _made_row(self, group: Sequence[Sample], index: int, cached: Run, baseline: Run | None) -> Made:
        if cached.faults[index]:
            return self._row(group[index], group, error=cached.faults[index])
        share, stats = len(group), cached.stats.sample(index)
        return self._row(
            replace(group[index], num_frames=cached.num_frames),
            group,
            pixels=cached.pixels[index].tobytes(),
            seconds=cached.seconds / share,
            denoise_seconds=stats.seconds,
            steps=stats.steps,
            computed=stats.computed,
            computed_mask=_mask(stats),
            baseline_pixels=baseline and baseline.pixels[index].tobytes(),
            baseline_seconds=baseline and baseline.seconds / share,
            baseline_denoise_seconds=baseline and baseline.stats.seconds / share,
        )

    def _row(self, sample: Sample, group: Sequence[Sample], **results: Any) -> Made:
        return Made(
            **values(sample, Sample),
            **self._columns,
            batch_size=len(group),
            batch=call_id(group),
            created_at=datetime.now(timezone.utc),
            **results,
        )


def alike(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """The samples in groups that can share a pipeline call."""
    ordered = sorted(samples, key=lambda sample: repr(sample.call))
    for _, group in groupby(ordered, key=lambda sample: sample.call):
        yield list(group)


def _actor_id() -> str:
    # Asked outside of Ray, it would start one.
    return (ray.get_runtime_context().get_actor_id() or "") if ray.is_initialized() else ""


def versions() -> dict[str, str]:
    installed = {each.name for each in importlib.metadata.distributions()}
    # teacache is absent where the code runs from a folder, as after `ray job submit --working-dir`.
    return {name: importlib.metadata.version(name) for name in ("diffusers", "teacache", "torch") if name in installed}


def call_id(group: Sequence[Sample]) -> str:
    return hashlib.sha256("\n".join(sample.id for sample in group).encode()).hexdigest()[:16]


def _mask(stats: teacache.Stats) -> str:
    return " ".join("".join("01"[step] for step in mask) for call in stats.calls for mask in call.computed)


def _parts(group: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(group), size):
        yield group[start : start + size]


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
