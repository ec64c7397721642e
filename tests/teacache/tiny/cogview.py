"""CogView3-Plus and CogView4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5

CONFIG = {
    "in_channels": 4, "out_channels": 4, "num_layers": 3, "attention_head_dim": 8, "num_attention_heads": 2,
    "text_embed_dim": 12, "time_embed_dim": 8, "condition_dim": 2, "pos_embed_max_size": 16, "sample_size": 8,
}  # fmt: skip


def make_cogview3() -> CogView3PlusPipeline:
    torch.manual_seed(0)
    return quiet(CogView3PlusPipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=CogView3PlusTransformer2DModel(**CONFIG),
        scheduler=CogVideoXDDIMScheduler(),
    ))  # fmt: skip


def make_cogview4() -> CogView4Pipeline:
    torch.manual_seed(0)
    return quiet(CogView4Pipeline(
        tokenizer=None, text_encoder=None, vae=None,
        transformer=CogView4Transformer2DModel(**CONFIG, rope_axes_dim=(16, 16)),
        scheduler=FlowMatchEulerDiscreteScheduler(base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        negative_prompt_embeds=rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype),
        guidance_scale=5.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {
    "CogView3PlusPipeline": Tiny(make=make_cogview3, generate=generate, guidance="batch"),
    "CogView4Pipeline": Tiny(make=make_cogview4, generate=generate, guidance="calls"),
}
