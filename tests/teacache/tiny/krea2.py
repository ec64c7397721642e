"""Krea 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Krea2Pipeline, Krea2Transformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_pipeline() -> Krea2Pipeline:
    torch.manual_seed(0)
    transformer = Krea2Transformer2DModel(
        in_channels=16, num_layers=3, attention_head_dim=8, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=32, timestep_embed_dim=16, text_hidden_dim=12, num_text_layers=2,
        text_num_attention_heads=2, text_num_key_value_heads=2, text_intermediate_size=16,
        num_layerwise_text_blocks=1, num_refiner_text_blocks=1, axes_dims_rope=(4, 2, 2),
    )  # fmt: skip
    return quiet(Krea2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=None, text_encoder=None,
        tokenizer=None, transformer=transformer,
    ))  # fmt: skip


def captions(seeds: Sequence[int], dtype: torch.dtype, prefix: str = "") -> dict[str, Tensor]:
    """Of two layers of the text encoder, and masks; prompts differ in length."""
    kept = torch.tensor([[token < TEXT_TOKENS - seed % 3 for token in range(TEXT_TOKENS)] for seed in seeds])
    return {
        f"{prefix}prompt_embeds": rows(seeds, TEXT_TOKENS, 2, 12, dtype=dtype),
        f"{prefix}prompt_embeds_mask": kept,
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= captions(negatives(seeds), dtype, "negative_")
    latents: Tensor = pipe(
        **captions(seeds, dtype), guidance_scale=4.0 if guided else 0.0, num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


# Its norms compute in float32, and their weights are to stay in it: about those that are moved torch warns.
TINY = {"Krea2Pipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", dtypes=(torch.bfloat16,))}
