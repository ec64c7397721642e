"""DiT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, quiet, tiny_vae
from tests.teacache.tiny.steps import called_back


def make_pipeline() -> DiTPipeline:
    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=3, sample_size=8,
    )  # fmt: skip
    return quiet(DiTPipeline(transformer=transformer, vae=tiny_vae(), scheduler=DDIMScheduler()))


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             sample_size: int = 8, callback_on_step_end: Any = None, **arguments: Any) -> Tensor:  # fmt: skip
    """Pictures, as it gives no latents; their size is that of the transformer's config."""
    pipe.transformer.register_to_config(sample_size=sample_size)
    with called_back(pipe, callback_on_step_end):
        pictures: Tensor = pipe(
            class_labels=[seed % 1000 for seed in seeds], guidance_scale=4.0 if guided else 1.0,
            num_inference_steps=steps, generator=generators(seeds), output_type="pt", **arguments,
        ).images  # fmt: skip
    return pictures


TINY = {
    "DiTPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", threshold=0.5, tolerance=0.4,
                        other_shape={"sample_size": 12}),
}  # fmt: skip
