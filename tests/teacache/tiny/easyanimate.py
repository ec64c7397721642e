"""EasyAnimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import EasyAnimatePipeline, EasyAnimateTransformer3DModel, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet
from tests.teacache.tiny.chroma import captions, make_vae


def make_pipeline() -> EasyAnimatePipeline:
    torch.manual_seed(0)
    transformer = EasyAnimateTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, patch_size=2, sample_width=8,
        sample_height=8, num_layers=3, mmdit_layers=3, time_embed_dim=8, text_embed_dim=12,
    )  # fmt: skip
    pipe = EasyAnimatePipeline(
        vae=None, text_encoder=None, tokenizer=None, transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    pipe.register_modules(vae=make_vae())  # only asked for its number of channels
    return quiet(pipe)


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        **captions(seeds, dtype), **captions(negatives(seeds), dtype, "negative_"), num_frames=5,
        guidance_scale=5.0 if guided else 1.0, num_inference_steps=steps, output_type="latent",
        **{"height": 64, "width": 64, "generator": generators(seeds), **arguments},
    ).frames  # fmt: skip
    return latents


TINY = {"EasyAnimatePipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch")}
