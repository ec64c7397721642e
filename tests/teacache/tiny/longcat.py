"""LongCat-Image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LongCatImagePipeline, LongCatImageTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows
from tests.teacache.tiny.steps import called_back


def make_pipeline() -> LongCatImagePipeline:
    torch.manual_seed(0)
    transformer = LongCatImageTransformer2DModel(
        in_channels=64, num_layers=2, num_single_layers=3, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=12, pooled_projection_dim=12, axes_dims_rope=[2, 2, 4],
    )  # fmt: skip
    pipe = LongCatImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None, text_processor=None,
        transformer=transformer,
    )  # fmt: skip
    # Its `prompt_embeds` do not work without prompts; these are the seeds of the embeddings.
    pipe._encode_prompt = lambda prompts: rows([int(prompt) for prompt in prompts], 5, 12, dtype=transformer.dtype)
    return quiet(pipe)


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             callback_on_step_end: Any = None, **arguments: Any) -> Tensor:  # fmt: skip
    with called_back(pipe, callback_on_step_end):
        latents: Tensor = pipe(
            prompt=[str(seed) for seed in seeds], negative_prompt=[str(seed) for seed in negatives(seeds)],
            guidance_scale=4.5 if guided else 1.0, enable_prompt_rewrite=False, num_inference_steps=steps,
            generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
        ).images  # fmt: skip
    return latents


TINY = {"LongCatImagePipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls")}
