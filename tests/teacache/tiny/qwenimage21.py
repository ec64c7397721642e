"""Qwen-Image 2.1."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImage21Pipeline, QwenImage21Transformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


class Processor:
    """Of which the pipeline wants to know, when it is made, how many tokens the system's prompt has."""

    tokenizer = SimpleNamespace(encode=lambda text: [7])

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> list[list[int]]:
        return [[1, 2]]


def make_pipeline() -> QwenImage21Pipeline:
    torch.manual_seed(0)
    transformer = QwenImage21Transformer2DModel(
        in_channels=64, out_channels=64, num_layers=3, attention_head_dim=8, num_attention_heads=2, context_in_dim=12,
        axes_dims_rope=(4, 2, 2),
    )  # fmt: skip
    return quiet(QwenImage21Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, processor=Processor(),
        transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    """Prompts have one length: the first row's positions are used for all."""
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= {"negative_prompt_embeds": rows(negatives(seeds), 3, 12, dtype=dtype), "true_cfg_scale": 4.0}
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {"QwenImage21Pipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls")}
