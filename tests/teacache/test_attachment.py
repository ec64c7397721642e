"""What hangs on a denoiser: not taken along by copies, and not together with diffusers' own caches."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import (
    FasterCacheConfig,
    FirstBlockCacheConfig,
    FluxPipeline,
    FluxTransformer2DModel,
    MagCacheConfig,
    PyramidAttentionBroadcastConfig,
    SeaCacheConfig,
    TaylorSeerCacheConfig,
    TextKVCacheConfig,
)
from diffusers.hooks import (
    apply_faster_cache,
    apply_first_block_cache,
    apply_pyramid_attention_broadcast,
    apply_taylorseer_cache,
)

import teacache
from teacache.attachment import OTHER_CACHES
from tests.teacache.test_hooks import SKIPPING, hooks_on
from tests.teacache.tiny import TINY
from tests.teacache.tiny.flux import generate

PYRAMID = PyramidAttentionBroadcastConfig(
    spatial_attention_block_skip_range=2, spatial_attention_timestep_skip_range=(-1, 2000),
    spatial_attention_block_identifiers=("transformer_blocks",), current_timestep_callback=lambda: 500,
)  # fmt: skip
FASTER = FasterCacheConfig(
    spatial_attention_block_skip_range=2, spatial_attention_timestep_skip_range=(-1, 2000), tensor_format="BCHW",
    spatial_attention_block_identifiers=("transformer_blocks",), current_timestep_callback=lambda: 500,
    attention_weight_callback=lambda module: 0.3, is_guidance_distilled=True,
)  # fmt: skip
DIFFUSERS_CONFIGS = (
    FASTER, FirstBlockCacheConfig(), MagCacheConfig(mag_ratios=[1.0] * 12, num_inference_steps=12), PYRAMID,
    SeaCacheConfig(), TaylorSeerCacheConfig(), TextKVCacheConfig(),
)  # fmt: skip


def saved_and_loaded(transformer: Any) -> Any:
    file = io.BytesIO()
    torch.save(transformer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, saved_and_loaded, lambda model: pickle.loads(pickle.dumps(model))],
                         ids=["deepcopy", "torch.save", "pickle"])  # fmt: skip
@pytest.mark.parametrize("name", ["FluxPipeline", "ConsisIDPipeline", "WanPipeline"])
def test_a_copy_of_a_denoiser_has_no_cache(name: str, copied: Callable[[Any], Any]) -> None:
    """FLUX hooks blocks only, ConsisID modules between them as well, Wan the module of its indicator."""
    tiny = TINY[name]
    pipe, other = tiny.make(), tiny.make()
    uncached = tiny.generate(other)
    config = teacache.TeaCacheConfig(rel_l1_thresh=1e9, coefficients=(1.0, 0.0))
    with teacache.enabled(pipe, config) as cache:
        cached = tiny.generate(pipe)
        other.transformer = copied(pipe.transformer)
        before = cache.stats
        assert torch.equal(tiny.generate(other), uncached)
        assert cache.stats == before
        with teacache.enabled(other, config):
            assert torch.equal(tiny.generate(other), cached)
        assert torch.equal(tiny.generate(pipe), cached)
        assert not any(parameter is twin for parameter, twin in
                       zip(pipe.transformer.parameters(), other.transformer.parameters(), strict=True))  # fmt: skip


@pytest.mark.parametrize("config", DIFFUSERS_CONFIGS, ids=lambda config: type(config).__name__)
def test_a_cache_of_diffusers_enabled_over_ours_is_refused(transformer: FluxTransformer2DModel, config: Any) -> None:
    with (
        teacache.enabled(transformer, SKIPPING),
        pytest.raises(ValueError, match="already been enabled"),
    ):
        transformer.enable_cache(config)
    assert hooks_on(transformer) == []


APPLIED: dict[str, Callable[[Any], None]] = {
    "FasterCache": lambda transformer: apply_faster_cache(transformer, FASTER),
    "FirstBlockCache": lambda transformer: apply_first_block_cache(transformer, FirstBlockCacheConfig()),
    "PyramidAttentionBroadcast": lambda transformer: apply_pyramid_attention_broadcast(transformer, PYRAMID),
    "TaylorSeer": lambda transformer: apply_taylorseer_cache(transformer, TaylorSeerCacheConfig()),
}


@pytest.mark.parametrize("apply", APPLIED.values(), ids=APPLIED)
def test_a_cache_of_diffusers_put_on_by_its_own_function_is_refused(
    pipe: FluxPipeline, apply: Callable[[Any], None]
) -> None:
    """They say nothing to anybody, so it is seen when the next run starts."""
    message = "FluxTransformer2DModel has a cache of diffusers' own on it .* take one of them off"
    with teacache.enabled(pipe, SKIPPING) as cache:
        generate(pipe)
        apply(pipe.transformer)
        with pytest.raises(teacache.AlreadyEnabledError, match=message):
            generate(pipe)
        assert len(cache.stats.calls) == 1
    with pytest.raises(teacache.AlreadyEnabledError, match=message):
        teacache.enable(pipe, SKIPPING)


def test_the_modules_of_diffusers_caches_are_those_that_it_has() -> None:
    assert {type(config).__module__ for config in DIFFUSERS_CONFIGS} == OTHER_CACHES
