"""Latte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, LattePipeline, LatteTransformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

FRAMES = 3


def make_pipeline() -> LattePipeline:
    torch.manual_seed(0)
    transformer = LatteTransformer3DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, patch_size=2,
        cross_attention_dim=16, sample_size=8, caption_channels=12, video_length=FRAMES, attention_bias=True,
        activation_fn="gelu-approximate", norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6,
        num_embeds_ada_norm=1000,
    )  # fmt: skip
    return quiet(LattePipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=transformer, scheduler=DDIMScheduler(),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, 5, 12, dtype=dtype), negative_prompt=None,
        negative_prompt_embeds=rows(negatives(seeds), 5, 12, dtype=dtype),
        guidance_scale=4.5 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        video_length=FRAMES, clean_caption=False, output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).frames  # fmt: skip
    return latents


TINY = {
    "LattePipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", threshold=0.14, tolerance=0.04),
}
