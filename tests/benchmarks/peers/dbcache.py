"""cache-dit's DBCache with and without its Taylor calibrator, and its fixed masks of steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cache_dit

from tests.benchmarks.peers.setting import Setting

THRESHOLDS = (0.04, 0.08, 0.16, 0.4)
MASKS = ("medium", "fast", "ultra")


@contextmanager
def enabled(pipe: Any, turned: dict[str, Any], order: int) -> Iterator[None]:
    calibrator = cache_dit.TaylorSeerCalibratorConfig(taylorseer_order=order) if order else None
    cache_dit.enable_cache(pipe, cache_config=cache_dit.DBCacheConfig(**turned), calibrator_config=calibrator)
    try:
        yield
    finally:
        cache_dit.disable_cache(pipe)


def of(method: str, order: int, text: str, **turned: Any) -> Setting:
    return Setting(method=method, turned=text, on=lambda pipe: enabled(pipe, turned, order))


def settings(steps: int) -> list[Setting]:
    """One block shows the change (F1B0, as these models have eight), four steps of warm-up."""
    found = []
    common = {"Fn_compute_blocks": 1, "Bn_compute_blocks": 0, "num_inference_steps": steps}
    for order, method in ((0, "DBCache"), (1, "DBCache + Taylor")):
        for threshold in THRESHOLDS:
            found.append(of(method, order, f"F1B0, residual_diff_threshold={threshold}, max_warmup_steps=4",
                            residual_diff_threshold=threshold, max_warmup_steps=4, **common))  # fmt: skip
        for policy in MASKS:
            mask = cache_dit.steps_mask(total_steps=steps, mask_policy=policy)
            found.append(of(f"{method}, fixed mask", order, f"F1B0, steps_mask {policy}, static",
                            steps_computation_mask=mask, steps_computation_policy="static", **common))  # fmt: skip
    return found
