"""Ideogram 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Ideogram4Pipeline, Ideogram4Transformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, quiet, rows

TEXT_TOKENS = 5


def make_transformer(seed: int) -> Ideogram4Transformer2DModel:
    torch.manual_seed(seed)
    return Ideogram4Transformer2DModel(
        in_channels=4, num_layers=3, attention_head_dim=8, num_attention_heads=2, intermediate_size=32, adaln_dim=8,
        llm_features_dim=12, mrope_section=(2, 1, 1),
    )  # fmt: skip


def encode_prompt(prompt: Sequence[str], grid_h: int, grid_w: int, max_sequence_length: int,
                  device: torch.device) -> tuple[Tensor, ...]:  # fmt: skip
    """Prompts are seeds, and differ in length; they are padded at their beginning."""
    lengths = [TEXT_TOKENS - int(seed) % 3 for seed in prompt]
    features = torch.zeros(len(prompt), max_sequence_length + grid_h * grid_w, 12)
    for row, (seed, length) in enumerate(zip(prompt, lengths, strict=True)):
        features[row, max_sequence_length - length : max_sequence_length] = rows([int(seed)], length, 12)[0]
    return (features, *Ideogram4Pipeline._prepare_ids(lengths, grid_h, grid_w, max_sequence_length, device))


def make_pipeline() -> Ideogram4Pipeline:
    pipe = Ideogram4Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=make_transformer(0), unconditional_transformer=make_transformer(1),
    )  # fmt: skip
    pipe.encode_prompt = encode_prompt
    return quiet(pipe)


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = True,
             **arguments: Any) -> Tensor:  # fmt: skip
    """It is always guided."""
    latents: Tensor = pipe(
        prompt=list(map(str, seeds)), guidance_scale=4.0, guidance_schedule=None, num_inference_steps=steps,
        max_sequence_length=TEXT_TOKENS, generator=generators(seeds), output_type="latent",
        **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


# Its latents are in float32, whatever the denoisers are in.
TINY = {
    "Ideogram4Pipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", always_guided=True,
                              threshold=0.08, tolerance=0.08, dtypes=(torch.bfloat16,)),
}  # fmt: skip
