"""ERNIE-Image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ErnieImagePipeline, ErnieImageTransformer2DModel, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows


def make_pipeline() -> ErnieImagePipeline:
    torch.manual_seed(0)
    transformer = ErnieImageTransformer2DModel(
        hidden_size=16, num_attention_heads=2, num_layers=3, ffn_hidden_size=32, in_channels=4, out_channels=4,
        text_in_dim=12, rope_axes_dim=(4, 2, 2),
    )  # fmt: skip
    for name, parameter in transformer.named_parameters():
        if "adaLN_modulation" in name or "final_linear" in name:  # they start at zero
            torch.nn.init.normal_(parameter, std=0.2)
    return quiet(ErnieImagePipeline(
        transformer=transformer, vae=None, text_encoder=None, tokenizer=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=4.0),
    ))  # fmt: skip


def captions(seeds: Sequence[int], dtype: torch.dtype) -> list[Tensor]:
    """Of different lengths."""
    return [rows([seed], 5 - seed % 3, 12, dtype=dtype)[0] for seed in seeds]


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = captions(negatives(seeds), dtype)
    latents: Tensor = pipe(
        prompt_embeds=captions(seeds, dtype), guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {
    "ErnieImagePipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", threshold=0.3, tolerance=0.3)
}
