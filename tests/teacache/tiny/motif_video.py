"""Motif-Video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    MotifVideoPipeline,
    MotifVideoTransformer3DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows
from tests.teacache.tiny.wan import make_vae

TEXT_TOKENS = 5


def make_pipeline(decoder: int = 2) -> MotifVideoPipeline:
    """
    Args:
        decoder: so many of the three single blocks start anew from the video's tokens.
    """
    torch.manual_seed(0)
    transformer = MotifVideoTransformer3DModel(
        in_channels=33, out_channels=16, num_attention_heads=2, attention_head_dim=8, num_layers=2,
        num_single_layers=3, num_decoder_layers=decoder, text_embed_dim=12, rope_axes_dim=(2, 2, 4),
        enable_text_cross_attention_dual=True, enable_text_cross_attention_single=True,
    )  # fmt: skip
    return quiet(MotifVideoPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0), vae=make_vae(), text_encoder=None, tokenizer=None,
        transformer=transformer, guider=ClassifierFreeGuidance(guidance_scale=6.0),
    ))  # fmt: skip


def captions(seeds: Sequence[int], dtype: torch.dtype, prefix: str = "") -> dict[str, Tensor]:
    """Embeddings and masks; prompts differ in length."""
    kept = torch.tensor([[token < TEXT_TOKENS - seed % 3 for token in range(TEXT_TOKENS)] for seed in seeds])
    return {
        f"{prefix}prompt_embeds": rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        f"{prefix}prompt_attention_mask": kept,
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= captions(negatives(seeds), dtype, "negative_")
    pipe.guider.enable() if guided else pipe.guider.disable()
    latents: Tensor = pipe(
        **captions(seeds, dtype), num_frames=5, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 32, "width": 32, **arguments},
    ).frames  # fmt: skip
    return latents


# Its time embedding stays in float32 where the model is moved to float64.
TINY = {
    "MotifVideoPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", dtypes=(torch.bfloat16,),
                               other_shape={"height": 48}),
}  # fmt: skip
