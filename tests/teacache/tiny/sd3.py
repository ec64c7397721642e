"""Stable Diffusion 3 and 3.5 (medium has the dual attention layers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_pipeline() -> Any:
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=4, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=12, caption_projection_dim=16, pooled_projection_dim=10, out_channels=4,
        pos_embed_max_size=12, dual_attention_layers=(0, 1), qk_norm="rms_norm",
    )  # fmt: skip
    return quiet(StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None, text_encoder_3=None, tokenizer_3=None, transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= {
            "negative_prompt_embeds": rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype),
            "negative_pooled_prompt_embeds": rows(negatives(seeds), 10, dtype=dtype),
        }
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), pooled_prompt_embeds=rows(seeds, 10, dtype=dtype),
        guidance_scale=7.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {"StableDiffusion3Pipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch")}
