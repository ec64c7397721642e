"""PixArt, Sana and Allegro."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import (
    AllegroPipeline,
    AllegroTransformer3DModel,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet
from tests.teacache.tiny.chroma import captions
from tests.teacache.tiny.steps import called_back


def make_pixart() -> PixArtSigmaPipeline:
    torch.manual_seed(0)
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=3,
        cross_attention_dim=16, sample_size=8, caption_channels=12, use_additional_conditions=False,
    )  # fmt: skip
    return quiet(PixArtSigmaPipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=transformer, scheduler=DPMSolverMultistepScheduler(),
    ))  # fmt: skip


def make_sana() -> SanaPipeline:
    torch.manual_seed(0)
    transformer = SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=3,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=12,
        sample_size=8,
    )  # fmt: skip
    return quiet(SanaPipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ))  # fmt: skip


def make_allegro() -> AllegroPipeline:
    torch.manual_seed(0)
    transformer = AllegroTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, num_layers=3,
        cross_attention_dim=24, sample_width=4, sample_height=4, sample_frames=2, caption_channels=12,
    )  # fmt: skip
    return quiet(AllegroPipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=transformer,
        scheduler=EulerAncestralDiscreteScheduler(),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    output = pipe(
        **captions(seeds, dtype), **captions(negatives(seeds), dtype, "negative_"), negative_prompt=None,
        guidance_scale=4.5 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        clean_caption=False, output_type="latent", **{"height": 64, "width": 64, **arguments},
    )  # fmt: skip
    latents: Tensor = output[0]
    return latents


def generate_pixart(pipe: Any, callback_on_step_end: Any = None, **arguments: Any) -> Tensor:
    with called_back(pipe, callback_on_step_end):
        return generate(pipe, use_resolution_binning=False, **arguments)


TINY = {
    "PixArtSigmaPipeline": Tiny(make=make_pixart, generate=generate_pixart, guidance="batch"),
    "SanaPipeline": Tiny(make=make_sana, generate=partial(generate, use_resolution_binning=False), guidance="batch"),
    "AllegroPipeline": Tiny(make=make_allegro, generate=partial(generate, num_frames=8), guidance="batch"),
}
