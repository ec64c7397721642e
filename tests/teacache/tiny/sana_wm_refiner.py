"""SANA-WM's refiner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaWMLTX2Refiner, SanaWMLTX2RefinerTransformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, quiet, rows
from tests.teacache.tiny.steps import called_back

TEXT_TOKENS, TEXT_WIDTH = 5, 12
PART = 3
"""Frames of latents."""


def make_pipeline() -> SanaWMLTX2Refiner:
    torch.manual_seed(0)
    transformer = SanaWMLTX2RefinerTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2, audio_attention_head_dim=4,
        audio_cross_attention_dim=8, num_layers=3, caption_channels=TEXT_WIDTH, rope_double_precision=False,
        rope_type="split",
    )  # fmt: skip
    pipe = SanaWMLTX2Refiner(
        transformer=transformer, connectors=None, tokenizer=None, text_encoder=None,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip

    def encode_prompt(prompt: str, *, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Prompts are seeds."""
        return rows((int(prompt),), TEXT_TOKENS, TEXT_WIDTH, dtype=dtype), torch.ones(1, TEXT_TOKENS)

    pipe._encode_prompt = encode_prompt
    return quiet(pipe)


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False, parts: int = 1,
             height: int = 4, callback_on_step_end: Any = None, **arguments: Any) -> Tensor:  # fmt: skip
    """
    Args:
        parts: how many come after the first frame, which stays as it is.
        height: of the latents.
    """
    given = rows([seed + 2000 for seed in seeds], 4, 1 + parts * PART, height, 4, dtype=pipe.transformer.dtype)
    (generator,) = generators(seeds)
    with called_back(pipe, callback_on_step_end):
        latents: Tensor = pipe(
            given, str(seeds[0]), fps=16.0, generator=generator, block_size=PART, output_type="latent",
            sigmas=tuple(torch.linspace(0.9, 0.0, steps + 1).tolist()), **arguments,
        )  # fmt: skip
    return latents


TINY = {
    "SanaWMLTX2Refiner": Tiny(make=make_pipeline, generate=generate, batched=False, other_shape={"height": 6}),
}  # fmt: skip
