"""The caches that diffusers brings along, each turned as its own documentation says."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import (
    FasterCacheConfig,
    FirstBlockCacheConfig,
    MagCacheConfig,
    PyramidAttentionBroadcastConfig,
    SeaCacheConfig,
    TaylorSeerCacheConfig,
)
from diffusers.hooks import (
    apply_faster_cache,
    apply_first_block_cache,
    apply_mag_cache,
    apply_pyramid_attention_broadcast,
    apply_sea_cache,
    apply_taylorseer_cache,
)

from tests.benchmarks.peers.setting import Setting

APPLY: dict[type, Callable[[Any, Any], None]] = {
    FirstBlockCacheConfig: apply_first_block_cache,
    MagCacheConfig: apply_mag_cache,
    TaylorSeerCacheConfig: apply_taylorseer_cache,
    SeaCacheConfig: apply_sea_cache,
    FasterCacheConfig: apply_faster_cache,
    PyramidAttentionBroadcastConfig: apply_pyramid_attention_broadcast,
}


@contextmanager
def enabled(pipe: Any, config: Any) -> Iterator[None]:
    """What `enable_cache` does, also for the models that diffusers gives none. The pipeline is used once."""
    if hasattr(pipe.transformer, "enable_cache"):
        pipe.transformer.enable_cache(config)
    else:
        APPLY[type(config)](pipe.transformer, config)
    yield


def of(method: str, config: Callable[..., Any], rest: Callable[[Any], dict[str, Any]] = lambda pipe: {},
       **turned: Any) -> Setting:  # fmt: skip
    """`rest` takes the pipeline and gives the arguments that are the same in the whole sweep."""
    text = ", ".join(f"{name}={value}" for name, value in turned.items())
    return Setting(method=method, turned=text, on=lambda pipe: enabled(pipe, config(**turned, **rest(pipe))))


def first_block(steps: int) -> list[Setting]:
    return [of("FirstBlockCache", FirstBlockCacheConfig, threshold=value) for value in (0.02, 0.05, 0.1, 0.2, 0.4)]


def taylor_seer(steps: int) -> list[Setting]:
    """As it hooks attention, and in its lite mode, which skips blocks whole and extrapolates the output."""
    plain = [(False, 1, interval) for interval in (2, 5)]
    light = [(True, 1, interval) for interval in (2, 3, 4, 5, 7, 9, 14)] + [(True, 2, interval) for interval in (2, 4)]
    return [
        of("TaylorSeer lite" if lite else "TaylorSeer", TaylorSeerCacheConfig, cache_interval=interval,
           max_order=order, disable_cache_before_step=3, use_lite_mode=lite, taylor_factors_dtype=torch.float32)
        for lite, order, interval in plain + light
    ]  # fmt: skip


def sea(steps: int) -> list[Setting]:
    return [of("SeaCache", SeaCacheConfig, threshold=0.25)]


def pyramid(steps: int) -> list[Setting]:
    """Broadcasts attention over all but the ends of the time, as its documentation does."""

    def rest(pipe: Any) -> dict[str, Any]:
        return {"spatial_attention_timestep_skip_range": (100, 950), "current_timestep_callback": _timestep_of(pipe)}

    return [of("PAB", PyramidAttentionBroadcastConfig, rest, spatial_attention_block_skip_range=skip)
            for skip in (2, 3, 4, 6, 10)]  # fmt: skip


def faster(steps: int) -> list[Setting]:
    """Attention again and, where guidance is one batch, the unconditional half guessed from the other."""

    def rest(pipe: Any) -> dict[str, Any]:
        return {
            "spatial_attention_timestep_skip_range": (-1, 901),
            "unconditional_batch_timestep_skip_range": (-1, 781),
            "attention_weight_callback": lambda module: 0.5,
            "is_guidance_distilled": not _guides_in_one_batch(pipe),
            "current_timestep_callback": _timestep_of(pipe),
            "tensor_format": "BFCHW" if "CogVideoX" in type(pipe).__name__ else "BCFHW",
        }

    sweep = ((2, 5), (3, 5), (4, 5), (6, 5), (2, 2), (2, 10), (4, 10))
    return [of("FasterCache", FasterCacheConfig, rest, spatial_attention_block_skip_range=skip,
               unconditional_batch_skip_range=guessed) for skip, guessed in sweep]  # fmt: skip


def _timestep_of(pipe: Any) -> Callable[[], Any]:
    """A pipeline without the property that diffusers' documentation names raises where it is asked."""
    return lambda: pipe.current_timestep


def _guides_in_one_batch(pipe: Any) -> bool:
    return any(name in type(pipe).__name__ for name in ("CogVideoX", "Mochi"))


def mag(steps: int, calibrate: Callable[[Any], object], fresh: Callable[[], Any]) -> list[Setting]:
    """Ratios from one run of the model itself, printed by diffusers and pasted in, as its documentation says."""
    ratios: list[list[float]] = []

    def config(**turned: Any) -> MagCacheConfig:
        if not ratios:
            ratios.append(_ratios(steps, calibrate, fresh))
        return MagCacheConfig(num_inference_steps=steps, mag_ratios=ratios[0], **turned)

    sweep = ((0.03, 3, 0.2), (0.06, 3, 0.2), (0.12, 3, 0.2), (0.12, 3, 0.1), (0.24, 5, 0.1), (0.5, 8, 0.1))
    return [of("MagCache", config, threshold=threshold, max_skip_steps=skips, retention_ratio=retention)
            for threshold, skips, retention in sweep]  # fmt: skip


def _ratios(steps: int, calibrate: Callable[[Any], object], fresh: Callable[[], Any]) -> list[float]:
    printed, pipe = io.StringIO(), fresh()
    with contextlib.redirect_stdout(printed), enabled(pipe, MagCacheConfig(num_inference_steps=steps, calibrate=True)):
        calibrate(pipe)
    lists = re.findall(r"\[([-0-9., e]+)\]", printed.getvalue())
    if not lists:
        raise ValueError("its calibration printed no ratios")
    return [float(value) for value in lists[-1].split(",")]
