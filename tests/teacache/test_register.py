"""`enable_cache` with our configs, and what is left of it afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch
from diffusers import FirstBlockCacheConfig, FluxPipeline, FluxTransformer2DModel, Lumina2Transformer2DModel, ModelMixin
from diffusers.models.cache_utils import CacheMixin

import teacache
from tests.teacache.test_hooks import SKIPPING, denoise, hooks_on, loop, random_latents, same
from tests.teacache.tiny.flux import generate

CONFIGS = (SKIPPING, teacache.AdaptiveConfig(tolerance=0.5), teacache.ScheduleConfig(steps=(0, 1, 4, 9)))
NAMES = ("enable_cache", "disable_cache", "is_cache_enabled", "cache_context")


@pytest.fixture
def registered() -> Iterator[None]:
    teacache.register()
    yield
    teacache.unregister()


@pytest.fixture
def lumina() -> Lumina2Transformer2DModel:
    """A class without diffusers' CacheMixin."""
    torch.manual_seed(0)
    model = Lumina2Transformer2DModel(
        sample_size=4, patch_size=2, in_channels=4, hidden_size=8, num_layers=3, num_refiner_layers=1,
        num_attention_heads=1, num_kv_heads=1, multiple_of=16, scaling_factor=1.0, axes_dim_rope=(4, 2, 2),
        axes_lens=(128, 128, 128), cap_feat_dim=8,
    )  # fmt: skip
    return model.eval().requires_grad_(False)


def lumina_loop(model: Lumina2Transformer2DModel, steps: int = 10) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents, text = torch.randn(1, 4, 4, 4, generator=generator), torch.randn(1, 6, 8, generator=generator)
    mask = torch.ones(1, 6, dtype=torch.bool)
    with torch.no_grad():
        return [model(latents, torch.tensor([step / steps]), text, mask, return_dict=False)[0] for step in range(steps)]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_enable_cache_is_enable_on_the_transformer(
    transformer: FluxTransformer2DModel, config: teacache.TeaCacheConfig
) -> None:
    uncached = loop(transformer, random_latents(1))[0]
    with teacache.enabled(transformer, config):
        expected = loop(transformer, random_latents(1))[0]
    cache = transformer.enable_cache(config)
    assert transformer.is_cache_enabled
    assert same(loop(transformer, random_latents(1))[0], expected)
    assert cache.stats.skipped > 0
    transformer.disable_cache()
    assert not transformer.is_cache_enabled
    assert hooks_on(transformer) == []
    assert same(loop(transformer, random_latents(1))[0], uncached)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_a_class_without_diffusers_caching_has_it_too(
    lumina: Lumina2Transformer2DModel, config: teacache.TeaCacheConfig
) -> None:
    assert not isinstance(lumina, CacheMixin)
    assert not lumina.is_cache_enabled
    uncached = lumina_loop(lumina)
    cache = lumina.enable_cache(config)
    assert lumina.is_cache_enabled
    with lumina.cache_context("cond"):
        cached = lumina_loop(lumina)
    assert [call.branch for call in cache.stats.calls] == ["cond"]
    assert cache.stats.skipped > 0
    assert not same(cached, uncached)
    lumina.disable_cache()
    assert not lumina.is_cache_enabled
    assert same(lumina_loop(lumina), uncached)


@pytest.mark.usefixtures("registered")
def test_the_end_of_a_pipeline_call_ends_a_run(lumina: Lumina2Transformer2DModel) -> None:
    """Without it the second run, whose timesteps go on from the first one's, would be taken for its continuation."""
    cache = lumina.enable_cache(SKIPPING)
    lumina_loop(lumina, 10)
    lumina._reset_stateful_cache()
    lumina(torch.zeros(1, 4, 4, 4), torch.tensor([1.0]), torch.zeros(1, 6, 8), torch.ones(1, 6, dtype=torch.bool))
    assert [call.steps for call in cache.stats.calls] == [10, 1]


@pytest.mark.usefixtures("registered")
def test_other_configs_go_to_diffusers(pipe: FluxPipeline) -> None:
    transformer, config = pipe.transformer, FirstBlockCacheConfig(threshold=0.3)
    teacache.unregister()
    transformer.enable_cache(config)
    expected = generate(pipe)
    transformer.disable_cache()
    uncached = generate(pipe)
    teacache.register()
    assert transformer.enable_cache(config) is None
    assert transformer._cache_config is config
    assert torch.equal(generate(pipe), expected)
    transformer.disable_cache()
    assert not transformer.is_cache_enabled
    assert torch.equal(generate(pipe), uncached)
    with pytest.raises(ValueError, match="is not supported"):
        transformer.enable_cache("FirstBlockCache")


@pytest.mark.usefixtures("registered")
def test_twice_and_mixed_are_refused(transformer: FluxTransformer2DModel, lumina: Lumina2Transformer2DModel) -> None:
    for model in (transformer, lumina):
        model.enable_cache(SKIPPING)
        with pytest.raises(ValueError, match=r"teacache\.disable\(\.\.\.\) comes first"):
            model.enable_cache(SKIPPING)
        with pytest.raises(ValueError, match="already been enabled"):
            model.enable_cache(FirstBlockCacheConfig())
        model.disable_cache()
    transformer.enable_cache(FirstBlockCacheConfig())
    with pytest.raises(ValueError, match=r"disable_cache\(\) comes first"):
        transformer.enable_cache(SKIPPING)


def test_a_cache_of_diffusers_is_refused_over_ours_without_register(transformer: FluxTransformer2DModel) -> None:
    with teacache.enabled(transformer, SKIPPING):
        assert transformer.is_cache_enabled
        with pytest.raises(ValueError, match="already been enabled"):
            transformer.enable_cache(FirstBlockCacheConfig())
    assert not transformer.is_cache_enabled


@pytest.mark.usefixtures("registered")
def test_disabling_what_is_off_warns_as_diffusers_does(
    transformer: FluxTransformer2DModel, lumina: Lumina2Transformer2DModel, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("diffusers")
    logger.addHandler(caplog.handler)
    for model in (transformer, lumina):
        caplog.clear()
        model.disable_cache()
        assert "nothing to disable" in caplog.text
    logger.removeHandler(caplog.handler)


def test_unregister_leaves_the_classes_as_they_were() -> None:
    before = [list(vars(owner).items()) for owner in (CacheMixin, ModelMixin)]
    assert not any(hasattr(ModelMixin, name) for name in NAMES)  # importing teacache changes nothing
    teacache.register()
    teacache.register()
    assert all(hasattr(ModelMixin, name) for name in NAMES)
    teacache.unregister()
    teacache.unregister()
    assert [list(vars(owner).items()) for owner in (CacheMixin, ModelMixin)] == before


def test_a_cache_survives_unregister_until_it_is_disabled(transformer: FluxTransformer2DModel) -> None:
    teacache.register()
    cache = transformer.enable_cache(SKIPPING)
    teacache.unregister()
    loop(transformer, random_latents(1))
    assert cache.stats.skipped > 0
    teacache.disable(transformer)
    assert hooks_on(transformer) == []
    denoise(transformer, random_latents(1), 0.5)
