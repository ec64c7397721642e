"""SANA-Video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaVideoPipeline, SanaVideoTransformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet
from tests.teacache.tiny.chroma import captions


def make_pipeline() -> SanaVideoPipeline:
    torch.manual_seed(0)
    transformer = SanaVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=3,
        num_cross_attention_heads=2, cross_attention_head_dim=12, cross_attention_dim=24, caption_channels=12,
        rope_max_seq_len=32,
    )  # fmt: skip
    return quiet(SanaVideoPipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        **captions(seeds, dtype), **captions(negatives(seeds), dtype, "negative_"), negative_prompt=None,
        guidance_scale=6.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds), frames=5,
        use_resolution_binning=False, output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).frames  # fmt: skip
    return latents


TINY = {"SanaVideoPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch")}
