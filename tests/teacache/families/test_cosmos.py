"""The indicator of Cosmos, which is taken before the first block adds its positions; the sound of Cosmos 3."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import CosmosActionCondition
from torch import Tensor

import teacache
from teacache.checkpoint import Checkpoint
from teacache.coefficients import find_recipe
from teacache.registry import model_for
from tests.teacache.families.by_hand import EVERY_STEP, called, changes
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.tiny import cosmos, cosmos3


def test_the_indicator_is_the_modulated_patch_embedding() -> None:
    pipe = cosmos.make_pipeline()
    transformer = pipe.transformer

    def indicators(kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        patches = transformer.patch_embed(kwargs["hidden_states"]).flatten(1, 3)
        temb, embedded_timestep = transformer.time_embed(patches, kwargs["timestep"])
        norm, positions = transformer.transformer_blocks[0].norm1, transformer.learnable_pos_embed
        with_positions = patches + positions(kwargs["hidden_states"])
        return norm(patches, embedded_timestep, temb)[0], norm(with_positions, embedded_timestep, temb)[0]

    with teacache.enabled(pipe, EVERY_STEP) as cache, called(transformer, indicators) as seen:
        cosmos.generate(pipe, num_frames=9)
    distances = list(cache.stats.calls[0].distances[0][1:-1])
    assert distances == changes([before for before, _ in seen])[:-1]
    assert distances != changes([after for _, after in seen])[:-1]


def test_predict2_has_no_digits() -> None:
    config = {"extra_pos_embed_type": None, "adaln_lora_dim": 256}
    with pytest.raises(teacache.CoefficientsError, match="no coefficients are published"):
        find_recipe(teacache.TeaCacheConfig(), Checkpoint(transformer="CosmosTransformer3DModel", config=config))
    first = Checkpoint(transformer="CosmosTransformer3DModel", config={**config, "extra_pos_embed_type": "learnable"})
    assert find_recipe(teacache.TeaCacheConfig(), first).coefficients[0] == 271.156237


@pytest.mark.parametrize("sound", [True, False], ids=["with sound", "without"])
def test_cosmos_3_is_cached_with_sound_and_without_it(sound: bool) -> None:
    """A run without sound after one with it starts afresh."""
    pipe, fresh = cosmos3.make_pipeline(), cosmos3.make_pipeline()
    with teacache.enabled(fresh, EXTREME):
        expected = cosmos3.generate(fresh, steps=STEPS, guided=True, enable_sound=sound)
    with plainly_cached(pipe.transformer, model_for(pipe.transformer), (0, 3, 6), branches=2):
        plain = cosmos3.generate(pipe, steps=STEPS, guided=True, enable_sound=sound)
    torch.testing.assert_close(expected, plain, rtol=1e-4, atol=1e-4)
    with teacache.enabled(pipe, EXTREME) as cache:
        cosmos3.generate(pipe, steps=STEPS, guided=True, enable_sound=not sound)
        assert torch.equal(cosmos3.generate(pipe, steps=STEPS, guided=True, enable_sound=sound), expected)
    assert [call.branch for call in cache.stats.calls] == ["cond", "uncond"] * 2
    assert steps_computed(cache.stats) == {(0, 3, 6)}


@pytest.mark.parametrize("alone", [False, True], ids=["pipeline", "transformer"])
def test_cosmos_3_is_cached_where_only_actions_are_noisy(alone: bool) -> None:
    """Then none of the video has a timestep."""
    pipe = cosmos3.make_pipeline(action_gen=True, action_dim=64)
    video = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    action = CosmosActionCondition(
        mode="inverse_dynamics", chunk_size=4, domain_name="umi", resolution_tier=256, video=video
    )
    asked = {"action": action, "enable_sound": False, "height": None, "width": None, "num_frames": None}
    with teacache.enabled(pipe.transformer if alone else pipe, EXTREME) as cache:
        for _ in range(2):
            cosmos3.generate(pipe, steps=STEPS, guided=True, **asked)
    assert [call.branch for call in cache.stats.calls] == ["cond", "uncond"] * 2
    assert all(call.steps == STEPS and call.skipped > 0 for call in cache.stats.calls)
