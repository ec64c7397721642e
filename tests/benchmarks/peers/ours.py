"""teacache's own methods; the published TeaCache among the peers, in our implementation, which is checked elsewhere."""

from __future__ import annotations

from functools import partial
from typing import Any

import teacache
from tests.benchmarks.peers.setting import Setting

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.45)
TOLERANCES = (0.02, 0.05, 0.1, 0.3, 1.0)
RATIOS = (1.5, 2, 3, 4, 5, 6, 7, 9, 14, 17, 25)
"""Of all steps to the computed ones."""


def computed_steps(steps: int) -> list[int]:
    return sorted({max(2, round(steps / ratio)) for ratio in RATIOS}, reverse=True)


def settings(steps: int, calibration: str) -> list[Setting]:
    schedule = partial(of, "schedule", teacache.ScheduleConfig, calibration=calibration)
    measured = teacache.Calibration.load(calibration).measured.get("transformer", ())
    unguided = sorted(round(each.computed, 2) for each in measured if each.unguided)
    tea_cache = partial(of, "TeaCache, order 1", teacache.TeaCacheConfig, calibration=calibration, order=1)
    adaptive = partial(of, "adaptive", teacache.AdaptiveConfig)
    return [
        *(schedule(turned={"computed": count}) for count in (*computed_steps(steps), *unguided)),
        *(adaptive(turned={"tolerance": value}) for value in TOLERANCES),
        *(tea_cache(turned={"rel_l1_thresh": value}) for value in THRESHOLDS),
    ]


def of(method: str, config: Any, *, turned: dict[str, Any], ours: bool = True, **rest: Any) -> Setting:
    text = ", ".join(f"{name}={value}" for name, value in turned.items())
    return Setting(method=method, turned=text, ours=ours,
                   on=partial(teacache.enabled, config=config(**turned, **rest)))  # fmt: skip


def published(steps: int, calibration: str) -> list[Setting]:
    """One decision for the batch, the last residual again, no safeguards; the polynomial is fitted on the model."""
    return [
        of("TeaCache as published", teacache.TeaCacheConfig, turned={"rel_l1_thresh": value}, ours=False,
           calibration=calibration, strict=True, granularity="batch")
        for value in THRESHOLDS
    ]  # fmt: skip


def fewer_steps(steps: int) -> list[Setting]:
    """What a user would do without a cache."""
    return [
        Setting(method="fewer steps", turned=f"num_inference_steps={count}", num_inference_steps=count)
        for count in computed_steps(steps)
    ]
