"""SANA-Video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SanaImageToVideoPipeline,
    SanaVideoPipeline,
    SanaVideoTransformer3DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows
from tests.teacache.tiny.chroma import captions
from tests.teacache.tiny.wan import make_vae


def make_pipeline(kind: type = SanaVideoPipeline, channels: int = 4, vae: Any = None) -> Any:
    torch.manual_seed(0)
    transformer = SanaVideoTransformer3DModel(
        in_channels=channels, out_channels=channels, num_attention_heads=2, attention_head_dim=12, num_layers=3,
        num_cross_attention_heads=2, cross_attention_head_dim=12, cross_attention_dim=24, caption_channels=12,
        rope_max_seq_len=32,
    )  # fmt: skip
    return quiet(kind(
        tokenizer=None, text_encoder=None, vae=vae, transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ))  # fmt: skip


def make_image_to_video() -> Any:
    return make_pipeline(SanaImageToVideoPipeline, 16, make_vae())


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        **captions(seeds, dtype), **captions(negatives(seeds), dtype, "negative_"), negative_prompt=None,
        guidance_scale=6.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds), frames=5,
        use_resolution_binning=False, output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).frames  # fmt: skip
    return latents


def generate_from_image(pipe: Any, **arguments: Any) -> Tensor:
    shape = (3, arguments.get("height", 64), arguments.get("width", 64))
    return generate(pipe, image=rows((0,), *shape).clamp(0, 1), **arguments)


TINY = {
    "SanaVideoPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", threshold=0.2),
    "SanaImageToVideoPipeline": Tiny(make=make_image_to_video, generate=generate_from_image, guidance="batch"),
}
