"""Mochi."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_pipeline() -> MochiPipeline:
    torch.manual_seed(0)
    transformer = MochiTransformer3DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=3, pooled_projection_dim=16, in_channels=4,
        text_embed_dim=16, time_embed_dim=4,
    )  # fmt: skip
    return quiet(MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    mask = torch.ones(len(seeds), TEXT_TOKENS, dtype=torch.bool)
    if guided:
        arguments |= {
            "negative_prompt_embeds": rows(negatives(seeds), TEXT_TOKENS, 16, dtype=pipe.transformer.dtype),
            "negative_prompt_attention_mask": mask,
        }
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 16, dtype=pipe.transformer.dtype), prompt_attention_mask=mask,
        guidance_scale=4.5 if guided else 1.0, num_frames=7, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 32, "width": 32, **arguments},
    ).frames  # fmt: skip
    return latents


TINY = {
    "MochiPipeline": Tiny(
        make=make_pipeline, generate=generate, guidance="batch", tolerance=0.2, other_shape={"height": 48}
    ),
}
