"""Lumina-Next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LuminaNextDiT2DModel, LuminaPipeline
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_pipeline() -> Any:
    torch.manual_seed(0)
    transformer = LuminaNextDiT2DModel(
        sample_size=8, patch_size=2, in_channels=4, hidden_size=16, num_layers=3, num_attention_heads=2,
        num_kv_heads=1, multiple_of=8, cross_attention_dim=12,
    )  # fmt: skip
    torch.nn.init.normal_(transformer.pad_token)
    return quiet(LuminaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    mask = torch.ones(len(seeds), TEXT_TOKENS, dtype=torch.long)
    if guided:
        arguments |= {
            "negative_prompt_embeds": rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype),
            "negative_prompt_attention_mask": mask,
        }
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), prompt_attention_mask=mask,
        guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {"LuminaPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch")}
