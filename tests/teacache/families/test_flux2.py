"""FLUX.2 klein with given images: their keys and values are kept at the first step, in an object that blocks take."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinKVPipeline
from PIL import Image
from torch import Tensor

import teacache
from tests.teacache.tiny import flux2
from tests.teacache.tiny.base import generators, quiet, rows

CONFIGS = (
    teacache.TeaCacheConfig(rel_l1_thresh=0.15, coefficients=(1.0, 0.0)),
    teacache.AdaptiveConfig(tolerance=0.2),
)


def make_pipeline() -> Flux2KleinKVPipeline:
    pipe = Flux2KleinKVPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=flux2.make_vae(), text_encoder=None, tokenizer=None,
        transformer=flux2.make_transformer(guidance_embeds=False),
    )  # fmt: skip
    return quiet(pipe.to(torch.float64))


def generate(pipe: Flux2KleinKVPipeline, seeds: tuple[int, ...]) -> Tensor:
    latents: Tensor = pipe(
        image=Image.linear_gradient("L").convert("RGB").resize((64, 64)), num_inference_steps=12, height=64, width=64,
        prompt_embeds=rows(seeds, flux2.TEXT_TOKENS, 12, dtype=torch.float64), generator=generators(seeds),
        output_type="latent",
    ).images  # fmt: skip
    return latents


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_rows_keep_the_keys_and_values_of_their_given_images(
    config: teacache.TeaCacheConfig | teacache.AdaptiveConfig,
) -> None:
    pipe, seeds = make_pipeline(), (1, 2, 3)
    alone: list[tuple[Tensor, tuple[bool, ...]]] = []
    for seed in seeds:
        with teacache.enabled(pipe, config) as cache:
            alone.append((generate(pipe, (seed,))[0], cache.stats.calls[0].computed[0]))
    with teacache.enabled(pipe, config) as cache:
        latents = generate(pipe, seeds)
    decisions = cache.stats.calls[0].computed
    assert decisions == tuple(computed for _, computed in alone)
    assert len(set(decisions)) > 1
    # The first step takes in the given image's tokens as well, so its residual fits no other step.
    assert all(computed[:2] == (True, True) for computed in decisions)
    torch.testing.assert_close(latents, torch.stack([own for own, _ in alone]), rtol=1e-8, atol=1e-8)
