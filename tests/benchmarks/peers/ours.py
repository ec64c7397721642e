"""teacache's own methods; the published TeaCache among the peers, in our implementation, which is checked elsewhere."""

from __future__ import annotations

from functools import partial

import teacache
from tests.benchmarks.peers.setting import Setting

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.45)
TOLERANCES = (0.02, 0.05, 0.1, 0.3, 1.0)


def computed_steps(steps: int) -> list[int]:
    """Numbers of computed steps from 1.5 to 9 times fewer than all."""
    return sorted({max(2, round(steps / ratio)) for ratio in (1.5, 2, 3, 4, 5, 6, 7, 9)}, reverse=True)


def settings(steps: int) -> list[Setting]:
    return [
        *(
            Setting(method="schedule", turned=f"computed={count}", ours=True,
                    on=partial(teacache.enabled, config=teacache.ScheduleConfig(computed=count)))
            for count in computed_steps(steps)
        ),
        *(
            Setting(method="adaptive", turned=f"tolerance={tolerance}", ours=True,
                    on=partial(teacache.enabled, config=teacache.AdaptiveConfig(tolerance=tolerance)))
            for tolerance in TOLERANCES
        ),
        *(
            Setting(method="TeaCache, order 1", turned=f"rel_l1_thresh={threshold}", ours=True,
                    on=partial(teacache.enabled, config=teacache.TeaCacheConfig(rel_l1_thresh=threshold, order=1)))
            for threshold in THRESHOLDS
        ),
    ]  # fmt: skip


def published(steps: int) -> list[Setting]:
    """One decision for the batch, the last residual again, no safeguards; the polynomial is fitted on the model."""
    return [
        Setting(method="TeaCache as published", turned=f"rel_l1_thresh={threshold}",
                on=partial(teacache.enabled, config=teacache.TeaCacheConfig(rel_l1_thresh=threshold, strict=True,
                                                                           granularity="batch")))
        for threshold in THRESHOLDS
    ]  # fmt: skip


def fewer_steps(steps: int) -> list[Setting]:
    """What a user would do without a cache."""
    return [
        Setting(method="fewer steps", turned=f"num_inference_steps={count}", num_inference_steps=count)
        for count in computed_steps(steps)
    ]
