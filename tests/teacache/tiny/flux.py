"""FLUX.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer() -> FluxTransformer2DModel:
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=12, pooled_projection_dim=10, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    return model.eval().requires_grad_(False)


def make_pipeline() -> FluxPipeline:
    return quiet(FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None, transformer=make_transformer(),
    ))  # fmt: skip


def embeddings(seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Text tokens and pooled vectors, as the text encoders would give them."""
    both = rows(seeds, 10 + TEXT_TOKENS * 12, dtype=dtype)
    return both[:, 10:].reshape(-1, TEXT_TOKENS, 12), both[:, :10]


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    tokens, pooled = embeddings(seeds, dtype)
    if guided:
        negative_tokens, negative_pooled = embeddings(negatives(seeds), dtype)
        arguments |= {
            "negative_prompt_embeds": negative_tokens,
            "negative_pooled_prompt_embeds": negative_pooled,
            "true_cfg_scale": 2.0,
        }
    latents: Tensor = pipe(
        prompt_embeds=tokens, pooled_prompt_embeds=pooled, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {"FluxPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls")}
