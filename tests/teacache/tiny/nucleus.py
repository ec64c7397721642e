"""Nucleus-Image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, NucleusMoEImagePipeline, NucleusMoEImageTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet
from tests.teacache.tiny.qwenimage import captions


def make_pipeline() -> NucleusMoEImagePipeline:
    torch.manual_seed(0)
    transformer = NucleusMoEImageTransformer2DModel(
        in_channels=16, out_channels=4, num_layers=5, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=12, axes_dims_rope=(8, 4, 4), mlp_ratio=8.0, num_experts=2, moe_intermediate_dim=16,
        capacity_factors=1.0,
    )  # fmt: skip
    for name, parameter in transformer.named_parameters():
        if "experts" in name or "gate_up" in name or "down_proj" in name:  # they are made without values
            torch.nn.init.normal_(parameter, std=0.2)
    return quiet(NucleusMoEImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=None, text_encoder=None,
        processor=None, transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= captions(negatives(seeds), dtype, "negative_")
    latents: Tensor = pipe(
        **captions(seeds, dtype), guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {
    "NucleusMoEImagePipeline": Tiny(
        make=make_pipeline, generate=generate, guidance="calls", threshold=0.6, tolerance=0.6
    )
}
