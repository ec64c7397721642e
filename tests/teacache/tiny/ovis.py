"""Ovis-Image and Bria 3.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    BriaPipeline,
    BriaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    OvisImagePipeline,
    OvisImageTransformer2DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows
from tests.teacache.tiny.chroma import make_vae

TEXT_TOKENS = 5

CONFIG = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 3, "attention_head_dim": 8, "num_attention_heads": 2,
    "joint_attention_dim": 12, "axes_dims_rope": (2, 2, 4),
}  # fmt: skip


def make_ovis() -> OvisImagePipeline:
    torch.manual_seed(0)
    return quiet(OvisImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=OvisImageTransformer2DModel(**CONFIG, out_channels=16),
    ))  # fmt: skip


def make_bria() -> BriaPipeline:
    torch.manual_seed(0)
    return quiet(BriaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=make_vae(), text_encoder=None, tokenizer=None,
        transformer=BriaTransformer2DModel(**CONFIG),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        negative_prompt_embeds=rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype),
        negative_prompt=None, guidance_scale=5.0 if guided else 1.0, num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {
    "OvisImagePipeline": Tiny(make=make_ovis, generate=generate, guidance="calls"),
    "BriaPipeline": Tiny(make=make_bria, generate=generate, guidance="batch"),
}
