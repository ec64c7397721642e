"""The indicator of Cosmos, which is taken before the first block adds its positions."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

import teacache
from teacache.checkpoint import Checkpoint
from teacache.coefficients import find_recipe
from tests.teacache.families.by_hand import EVERY_STEP, called, changes
from tests.teacache.tiny import cosmos


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
