"""Kandinsky 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Kandinsky5T2VPipeline, Kandinsky5Transformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer(**config: Any) -> Kandinsky5Transformer3DModel:
    torch.manual_seed(0)
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=4, out_visual_dim=4, in_text_dim=12, in_text_dim2=10, time_dim=16, model_dim=16, ff_dim=32,
        num_text_blocks=1, num_visual_blocks=3, axes_dims=(2, 2, 4), **config,
    )  # fmt: skip
    for name, parameter in transformer.named_parameters():
        if "modulation" in name:  # they start at zero, and blocks with them at the identity
            torch.nn.init.normal_(parameter, std=0.2)
    return transformer


def make_pipeline() -> Kandinsky5T2VPipeline:
    return quiet(Kandinsky5T2VPipeline(
        transformer=make_transformer(), vae=None, text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None, scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
    ))  # fmt: skip


def captions(seeds: Sequence[int], prefix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}prompt_embeds_qwen": rows(seeds, TEXT_TOKENS, 12),
        f"{prefix}prompt_embeds_clip": rows(seeds, 10),
        f"{prefix}prompt_cu_seqlens": torch.arange(len(seeds) + 1, dtype=torch.int32) * TEXT_TOKENS,
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    if guided:
        arguments |= captions(negatives(seeds), "negative_")
    made = pipe(
        **captions(seeds), num_inference_steps=steps, guidance_scale=5.0 if guided else 1.0,
        generator=generators(seeds), output_type="latent",
        **{"num_frames": 5, "height": 32, "width": 32, **arguments},
    )  # fmt: skip
    latents: Tensor = made[0]
    return latents


# It computes its time embedding in float32, which its weights must be as well: moved to another type it does not run.
TINY = {
    "Kandinsky5T2VPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", dtypes=(),
                                  threshold=0.3, other_shape={"height": 48}),
}  # fmt: skip
