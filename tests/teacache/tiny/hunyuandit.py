"""Hunyuan-DiT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows


def make_pipeline() -> HunyuanDiTPipeline:
    """The last two of its six blocks also take in what the first two gave."""
    torch.manual_seed(0)
    transformer = HunyuanDiT2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, patch_size=2, sample_size=8, hidden_size=16,
        num_layers=6, cross_attention_dim=12, cross_attention_dim_t5=8, pooled_projection_dim=8, text_len=5,
        text_len_t5=3,
    )  # fmt: skip
    return quiet(HunyuanDiTPipeline(
        vae=None, text_encoder=None, tokenizer=None, transformer=transformer, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False, text_encoder_2=None, tokenizer_2=None,
        scheduler=DPMSolverMultistepScheduler(),
    ))  # fmt: skip


def captions(seeds: Sequence[int], dtype: torch.dtype, prefix: str = "") -> dict[str, Tensor]:
    """As two text encoders read them; prompts differ in length."""
    kept = torch.tensor([[token < 5 - seed % 3 for token in range(5)] for seed in seeds])
    return {
        f"{prefix}prompt_embeds": rows(seeds, 5, 12, dtype=dtype),
        f"{prefix}prompt_attention_mask": kept.long(),
        f"{prefix}prompt_embeds_2": rows([seed + 3000 for seed in seeds], 3, 8, dtype=dtype),
        f"{prefix}prompt_attention_mask_2": torch.ones(len(seeds), 3, dtype=torch.long),
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        **captions(seeds, dtype), **captions(negatives(seeds), dtype, "negative_"),
        guidance_scale=5.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        use_resolution_binning=False, output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {
    "HunyuanDiTPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", threshold=0.3, tolerance=4.0)
}
