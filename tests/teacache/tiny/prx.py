"""PRX."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PRXPipeline, PRXTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet
from tests.teacache.tiny.chroma import captions


def make_pipeline() -> PRXPipeline:
    torch.manual_seed(0)
    transformer = PRXTransformer2DModel(
        in_channels=4, context_in_dim=12, hidden_size=16, mlp_ratio=2.0, num_heads=2, depth=3, axes_dim=[4, 4],
    )  # fmt: skip
    for name, parameter in transformer.named_parameters():
        if "modulation" in name.lower() or "final_layer" in name:  # they start at zero
            torch.nn.init.normal_(parameter, std=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of its own base class
        return quiet(PRXPipeline(
            transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), text_encoder=None,
            tokenizer=None, vae=None,
        ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= captions(negatives(seeds), dtype, "negative_")
    latents: Tensor = pipe(
        **captions(seeds, dtype), guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps,
        generator=generators(seeds), use_resolution_binning=False, output_type="latent",
        **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


# With guidance it passes two timesteps, however many samples there are: guided batches of several do not run.
TINY = {"PRXPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", batched=False)}
