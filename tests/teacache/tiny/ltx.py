"""LTX-Video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline, LTXVideoTransformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_pipeline() -> Any:
    torch.manual_seed(0)
    transformer = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        num_layers=3, caption_channels=12,
    )  # fmt: skip
    return quiet(LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    mask = torch.ones(len(seeds), TEXT_TOKENS, dtype=torch.bool)
    if guided:
        arguments |= {
            "negative_prompt_embeds": rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype),
            "negative_prompt_attention_mask": mask,
        }
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), prompt_attention_mask=mask, num_frames=9,
        guidance_scale=3.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).frames  # fmt: skip
    return latents


TINY = {"LTXPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch")}
