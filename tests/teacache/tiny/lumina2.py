"""Lumina-Image 2.0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 6


def make_pipeline() -> Lumina2Pipeline:
    torch.manual_seed(0)
    transformer = Lumina2Transformer2DModel(
        sample_size=8, in_channels=4, hidden_size=16, num_layers=3, num_refiner_layers=1, num_attention_heads=2,
        num_kv_heads=1, multiple_of=8, scaling_factor=1.0, axes_dim_rope=(4, 2, 2), axes_lens=(64, 64, 64),
        cap_feat_dim=12,
    )  # fmt: skip
    return quiet(Lumina2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=transformer,
    ))  # fmt: skip


def captions(seeds: Sequence[int], padded: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Embeddings and their mask; `padded` makes captions of different lengths of them, the shortest 2 tokens long."""
    lengths = torch.tensor([TEXT_TOKENS - seed % 5 if padded else TEXT_TOKENS for seed in seeds])
    return rows(seeds, TEXT_TOKENS, 12, dtype=dtype), (torch.arange(TEXT_TOKENS) < lengths.unsqueeze(1)).long()


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             padded: bool = False, **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    tokens, mask = captions(seeds, padded, dtype)
    if guided:
        negative_tokens, negative_mask = captions(negatives(seeds), padded, dtype)
        arguments |= {
            "negative_prompt_embeds": negative_tokens,
            "negative_prompt_attention_mask": negative_mask,
        }
    latents: Tensor = pipe(
        prompt_embeds=tokens, prompt_attention_mask=mask, guidance_scale=4.0 if guided else 1.0,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {"Lumina2Pipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls")}
