"""CogVideoX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer(**config: Any) -> CogVideoXTransformer3DModel:
    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(**{
        "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 4, "time_embed_dim": 16,
        "text_embed_dim": 12, "num_layers": 3, "sample_width": 4, "sample_height": 4, "sample_frames": 5,
        "max_text_seq_length": TEXT_TOKENS, **config,
    })  # fmt: skip


def make_pipeline() -> CogVideoXPipeline:
    return quiet(CogVideoXPipeline(
        scheduler=CogVideoXDDIMScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=make_transformer(),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype)
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), guidance_scale=6.0 if guided else 1.0, num_frames=5,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"height": 32, "width": 32, **arguments},
    ).frames  # fmt: skip
    return latents


TINY = {
    "CogVideoXPipeline": Tiny(
        make=make_pipeline,
        generate=generate,
        guidance="batch",
        threshold=1.0,
        tolerance=0.2,
        other_shape={"height": 48},
    ),
}
