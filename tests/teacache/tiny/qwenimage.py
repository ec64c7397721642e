"""Qwen-Image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer(**config: Any) -> QwenImageTransformer2DModel:
    torch.manual_seed(0)
    return QwenImageTransformer2DModel(**{
        "in_channels": 16, "out_channels": 4, "num_layers": 3, "attention_head_dim": 16, "num_attention_heads": 2,
        "joint_attention_dim": 12, "axes_dims_rope": (8, 4, 4), **config,
    })  # fmt: skip


def make_pipeline() -> QwenImagePipeline:
    return quiet(QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=make_transformer(),
    ))  # fmt: skip


def captions(seeds: Sequence[int], dtype: torch.dtype, prefix: str = "") -> dict[str, Tensor]:
    """Embeddings and masks; prompts differ in length."""
    kept = torch.tensor([[token < TEXT_TOKENS - seed % 3 for token in range(TEXT_TOKENS)] for seed in seeds])
    return {
        f"{prefix}prompt_embeds": rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        f"{prefix}prompt_embeds_mask": kept.long(),
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= {**captions(negatives(seeds), dtype, "negative_"), "true_cfg_scale": 4.0}
    latents: Tensor = pipe(
        **captions(seeds, dtype), num_inference_steps=steps, generator=generators(seeds),
        **{"output_type": "latent", "height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {"QwenImagePipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls")}
