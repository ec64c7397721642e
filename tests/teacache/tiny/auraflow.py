"""AuraFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows
from tests.teacache.tiny.chroma import captions


def make_pipeline() -> AuraFlowPipeline:
    torch.manual_seed(0)
    transformer = AuraFlowTransformer2DModel(
        sample_size=16, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=12, caption_projection_dim=16, pos_embed_max_size=64,
    )  # fmt: skip
    return quiet(AuraFlowPipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        **captions(seeds, dtype), **captions(negatives(seeds), dtype, "negative_"),
        guidance_scale=3.5 if guided else 1.0, num_inference_steps=steps,
        latents=rows(seeds, 4, arguments.get("height", 64) // 8, 8, dtype=dtype), generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {"AuraFlowPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch")}
