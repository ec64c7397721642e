"""Which published recipe goes with which checkpoint, and what it does."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

import teacache
from teacache.checkpoint import Checkpoint
from teacache.coefficients import find_recipe
from teacache.published import PUBLISHED
from teacache.registry import MODELS
from tests.teacache.test_models import EXTREME, steps_computed
from tests.teacache.tiny import TINY

_FLUX_DEV = {
    "num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "guidance_embeds": True, "in_channels": 64,
}  # fmt: skip
_WAN_14B = {"num_layers": 40, "num_attention_heads": 40, "in_channels": 16, "image_dim": None}
_COGVIDEOX_5B = {"num_layers": 42, "num_attention_heads": 48, "patch_size_t": None, "in_channels": 16}

# What tells the checkpoints apart, as their configs on the Hub have it.
CHECKPOINTS: list[tuple[str, dict[str, Any], str]] = [
    ("MochiTransformer3DModel", {"num_layers": 48, "num_attention_heads": 24}, "mochi-1-preview"),
    (
        "CogVideoXTransformer3DModel",
        {"num_layers": 30, "num_attention_heads": 30, "patch_size_t": None, "in_channels": 16},
        "CogVideoX-2b",
    ),
    ("CogVideoXTransformer3DModel", _COGVIDEOX_5B, "CogVideoX-5b"),
    ("CogVideoXTransformer3DModel", {**_COGVIDEOX_5B, "in_channels": 32}, "CogVideoX-5b-I2V"),
    ("CogVideoXTransformer3DModel", {**_COGVIDEOX_5B, "patch_size_t": 2}, "CogVideoX1.5-5B"),
    ("CogVideoXTransformer3DModel", {**_COGVIDEOX_5B, "patch_size_t": 2, "in_channels": 32}, "CogVideoX1.5-5B-I2V"),
    ("ConsisIDTransformer3DModel", {"num_layers": 42, "num_attention_heads": 48}, "ConsisID-preview"),
    (
        "Lumina2Transformer2DModel",
        {"hidden_size": 2304, "num_layers": 26, "num_attention_heads": 24},
        "Lumina-Image-2.0",
    ),
    ("LuminaNextDiT2DModel", {"hidden_size": 2304, "num_layers": 24, "num_attention_heads": 32}, "Lumina-Next-SFT"),
    (
        "LTXVideoTransformer3DModel",
        {"num_layers": 28, "num_attention_heads": 32, "cross_attention_dim": 2048},
        "LTX-Video-0.9.1",
    ),
    (
        "HiDreamImageTransformer2DModel",
        {"num_layers": 16, "num_single_layers": 32, "num_attention_heads": 20},
        "HiDream-I1-Full",
    ),
    (
        "HunyuanVideoTransformer3DModel",
        {"num_layers": 20, "num_single_layers": 40, "in_channels": 16, "image_condition_type": None},
        "HunyuanVideo",
    ),
    (
        "LatteTransformer3DModel",
        {"num_layers": 28, "num_attention_heads": 16, "attention_head_dim": 72},
        "Latte-1",
    ),
    ("CosmosTransformer3DModel", {"extra_pos_embed_type": "learnable", "adaln_lora_dim": 256}, "Cosmos-1.0-Diffusion"),
    ("ChromaTransformer2DModel", {"num_layers": 19, "num_single_layers": 38}, "Chroma"),
    (
        "QwenImageTransformer2DModel",
        {"num_layers": 60, "num_attention_heads": 24, "zero_cond_t": False, "use_additional_t_cond": False},
        "Qwen-Image",
    ),
    ("LongCatImageTransformer2DModel", {"in_channels": 64, "num_attention_heads": 24}, "LongCat-Image"),
    (
        "StableAudioDiTModel",
        {"num_layers": 24, "num_attention_heads": 24, "sample_size": 1024},
        "stable-audio-open-1.0",
    ),
    ("FluxTransformer2DModel", _FLUX_DEV, "FLUX.1-dev"),
    ("FluxTransformer2DModel", _FLUX_DEV, "FLUX.1-Kontext-dev"),
    ("FluxTransformer2DModel", {**_FLUX_DEV, "guidance_embeds": False}, "FLUX.1-schnell"),
    ("FluxTransformer2DModel", {**_FLUX_DEV, "in_channels": 384}, "FLUX.1-Fill, Canny or Depth"),
    ("WanTransformer3DModel", _WAN_14B, "Wan2.1-T2V-14B, std"),
    ("WanTransformer3DModel", {**_WAN_14B, "num_layers": 30, "num_attention_heads": 12}, "Wan2.1-T2V-1.3B, std"),
]

# Of those that have the config of another model, the pipeline.
PIPELINES = {
    "FLUX.1-Kontext-dev": "FluxKontextPipeline",
    "LongCat-Image": "LongCatImagePipeline",
    "Qwen-Image": "QwenImagePipeline",
}


def test_every_recipe_that_a_config_tells_is_tested() -> None:
    told = {(entry.transformer, entry.name) for entry in PUBLISHED if entry.config is not None}
    assert told == {(transformer, name) for transformer, _, name in CHECKPOINTS}
    assert {entry.name for entry in PUBLISHED if entry.pipeline} == set(PIPELINES)


@pytest.mark.parametrize(("transformer", "config", "name"), CHECKPOINTS, ids=[name for *_, name in CHECKPOINTS])
def test_a_checkpoint_is_told_by_its_config(transformer: str, config: dict[str, Any], name: str) -> None:
    expected = next(entry for entry in PUBLISHED if (entry.transformer, entry.name) == (transformer, name))
    checkpoint = Checkpoint(transformer=transformer, config={}, pipeline=PIPELINES.get(name, ""))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = find_recipe(teacache.TeaCacheConfig(), replace(checkpoint, config=config))
    assert (found.coefficients, found.indicator) == (expected.coefficients, expected.indicator)
    assert [str(warning.message).startswith(f"the polynomial for {name} was fitted on {expected.borrowed_from};")
            for warning in caught] == [True] * bool(expected.borrowed_from)  # fmt: skip
    other = replace(checkpoint, config={**config, next(iter(config)): 3})
    with pytest.raises(teacache.CoefficientsError, match=r"teacache\.calibrate\("):
        find_recipe(teacache.TeaCacheConfig(), other)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_modular_pipeline_of_a_checkpoint_tells_it_too(name: str) -> None:
    transformer, config, _ = next(checkpoint for checkpoint in CHECKPOINTS if checkpoint[-1] == name)
    modular = PIPELINES[name].replace("Pipeline", "ModularPipeline")
    checkpoint = Checkpoint(transformer=transformer, config=config, pipeline=modular)
    expected = next(entry for entry in PUBLISHED if (entry.transformer, entry.name) == (transformer, name))
    assert find_recipe(teacache.TeaCacheConfig(), checkpoint).coefficients == expected.coefficients


def test_an_edit_pipeline_takes_no_recipe_of_another_task() -> None:
    transformer, config, _ = next(checkpoint for checkpoint in CHECKPOINTS if checkpoint[-1] == "Qwen-Image")
    for pipeline in ("QwenImageEditPipeline", "QwenImageEditModularPipeline"):
        with pytest.raises(teacache.CoefficientsError, match="no coefficients are published"):
            find_recipe(
                teacache.TeaCacheConfig(), Checkpoint(transformer=transformer, config=config, pipeline=pipeline)
            )


@pytest.mark.parametrize("name", ["StableDiffusion3Pipeline", "ZImagePipeline"])
def test_where_nothing_is_published_teacache_tells_how_to_calibrate(name: str) -> None:
    pipe = TINY[name].make()
    message = rf"published for this {type(pipe.transformer).__name__}.*calibrate\(pipe.*AdaptiveConfig needs none"
    with pytest.raises(teacache.CoefficientsError, match=message):
        teacache.enable(pipe)


def computed_with(name: str, published: str, *, thresh: float = 1e9, seed: int = 0) -> set[tuple[int, ...]]:
    """The steps out of 12 that a recipe computes in a tiny pipeline."""
    tiny = TINY[name]
    pipe = tiny.make()
    config = teacache.TeaCacheConfig(rel_l1_thresh=thresh, published=published, max_consecutive_skips=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # borrowed
        with teacache.enabled(pipe, config) as cache:
            assert torch.isfinite(tiny.generate(pipe, seeds=(seed,))).all()
    return steps_computed(cache.stats)


def test_hidream_full_computes_a_tenth_at_the_start_and_not_the_last_step() -> None:
    # A tenth of 12 steps are 2; 8 are skipped in a row, and the last one as well.
    assert computed_with("HiDreamImagePipeline", "HiDream-I1-Full") == {(0, 1, 10)}
    assert computed_with("HiDreamImagePipeline", "HiDream-I1-Dev") == {(0, 9, 11)}


@pytest.mark.parametrize("entry", [entry for entry in PUBLISHED if entry.config is None], ids=lambda entry: entry.name)
def test_a_recipe_that_no_config_tells_is_taken_by_name(entry: teacache.Published) -> None:
    checkpoint = Checkpoint(transformer=entry.transformer, config={})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = find_recipe(teacache.TeaCacheConfig(published=entry.name), checkpoint)
    assert (found.coefficients, found.indicator) == (entry.coefficients, entry.indicator)


def test_lumina2_by_time_embedding_decides_alike_for_every_prompt() -> None:
    """Its indicator sees the timestep only; that of the official recipe sees the picture."""
    tiny = TINY["Lumina2Pipeline"]
    pipe = tiny.make()
    distances = []
    for published in ("Lumina-Image-2.0 by time embedding", "Lumina-Image-2.0 v2"):
        with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0.3, published=published)) as cache:
            tiny.generate(pipe, seeds=(1, 2))
        distances.append(cache.stats.calls[0].distances)
    assert [len(set(samples)) for samples in distances] == [1, 2]


def test_the_published_residual_ends_after_the_last_norm_of_two_models() -> None:
    for name in ("MochiTransformer3DModel", "LTXVideoTransformer3DModel"):
        assert MODELS[name].published_exit == "proj_out"


ATTENTION_INPUT = {
    "FluxPipeline": "transformer_blocks.0.attn",
    "LattePipeline": "transformer_blocks.0.attn1",
    "LTX2Pipeline": "transformer_blocks.0.attn1",
    "LTXPipeline": "transformer_blocks.0.attn1",
    "Lumina2Pipeline": "layers.0.attn",
    "LuminaPipeline": "layers.0.attn1",
    "MochiPipeline": "transformer_blocks.0.attn1",
    "SanaWMPipeline": "blocks.0.attn",
    "StableDiffusion3Pipeline": "transformer_blocks.0.attn",
    "ZImagePipeline": "layers.0.attention",
}
"""Where the modulated input goes: what the first block's attention takes in."""
EMBEDDING = {
    "CogVideoXPipeline": "time_embedding",
    "ConsisIDPipeline": "time_embedding",
    "HiDreamImagePipeline": "t_embedder",
}
"""Whose output the indicator is."""


@pytest.mark.parametrize("name", [*ATTENTION_INPUT, *EMBEDDING])
def test_the_indicator_is_the_published_one(name: str) -> None:
    """Distances are those of a tensor that is seen inside the model, without teacache."""
    tiny = TINY[name]
    pipe = tiny.make()
    seen: list[torch.Tensor] = []

    def see_input(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    def see_output(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        seen.append(output)

    path, see = (ATTENTION_INPUT[name], see_input) if name in ATTENTION_INPUT else (EMBEDDING[name], see_output)
    pipe.transformer.get_submodule(path).register_forward_hook(see, with_kwargs=True)
    with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0, coefficients=(1.0, 0.0))) as cache:
        tiny.generate(pipe, steps=6)
    changes = [float((new - old).abs().mean() / old.abs().mean()) for old, new in pairwise(seen)]
    assert len(seen) == 6
    assert list(cache.stats.calls[0].distances[0][1:-1]) == pytest.approx(changes[:-1], rel=1e-4)


def test_consisid_does_not_look_at_the_face_on_skipped_steps() -> None:
    tiny = TINY["ConsisIDPipeline"]
    pipe = tiny.make()
    looks = 0

    def look(module: Any, args: Any) -> None:
        nonlocal looks
        looks += 1

    pipe.transformer.perceiver_cross_attention[1].to_q.register_forward_pre_hook(look)
    with teacache.enabled(pipe, EXTREME) as cache:
        tiny.generate(pipe, steps=7)
    assert looks == cache.stats.computed == 3
