"""FLUX.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer(**config: Any) -> Flux2Transformer2DModel:
    torch.manual_seed(0)
    return Flux2Transformer2DModel(**{
        "in_channels": 16, "num_layers": 2, "num_single_layers": 3, "attention_head_dim": 16, "num_attention_heads": 2,
        "joint_attention_dim": 12, "timestep_guidance_channels": 16, "axes_dims_rope": (4, 4, 4, 4), **config,
    })  # fmt: skip


def make_vae() -> AutoencoderKLFlux2:
    """Klein's pipeline undoes its normalisation of the latents at the end."""
    torch.manual_seed(0)
    return AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4), layers_per_block=1, latent_channels=4, norm_num_groups=2,
        mid_block_add_attention=False,
    )  # fmt: skip


def make_pipeline() -> Flux2Pipeline:
    return quiet(Flux2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=make_transformer(),
    ))  # fmt: skip


def make_klein() -> Flux2KleinPipeline:
    return quiet(Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=make_vae(), text_encoder=None, tokenizer=None,
        transformer=make_transformer(guidance_embeds=False),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype)
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), guidance_scale=4.0 if guided else 1.0,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {
    "Flux2Pipeline": Tiny(make=make_pipeline, generate=generate),
    "Flux2KleinPipeline": Tiny(make=make_klein, generate=generate, guidance="calls"),
}
