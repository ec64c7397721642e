"""The super-resolution of Kandinsky 6."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    Kandinsky6SRPipeline,
    Kandinsky6SRTransformer3DModel,
    Kandinsky6SRVAE,
)
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from tests.teacache.tiny.base import Tiny, generators, images, quiet
from tests.teacache.tiny.steps import called_back

TILE = 64
"""Pixels of the video that it is given; each becomes two."""


@cache
def warned_once() -> None:
    """Of its attention without torch.compile, which is a warning once in each process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = torch.zeros(1, 1, 1, 1)
        flex_attention(token, token, token)


def make_pipeline() -> Kandinsky6SRPipeline:
    warned_once()
    torch.manual_seed(0)
    transformer = Kandinsky6SRTransformer3DModel(
        in_visual_dim=4, out_visual_dim=4, time_dim=16, model_dim=16, ff_dim=32, num_visual_blocks=3,
        axes_dims=(2, 2, 4), tile_sizes=((2 * TILE, 2 * TILE),),
    )  # fmt: skip
    vae = Kandinsky6SRVAE(
        latent_channels=4, encoder_block_out_channels=(4,) * 5, decoder_block_out_channels=(4,) * 5,
        layers_per_block=1,
    )  # fmt: skip
    return quiet(
        Kandinsky6SRPipeline(transformer=transformer, vae=vae, scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0))
    )


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False, frames: int = 1,
             callback_on_step_end: Any = None, **arguments: Any) -> Tensor:  # fmt: skip
    """Videos, as it gives no latents."""
    size = {name: arguments.pop(name, TILE) for name in ("height", "width")}
    with called_back(pipe, callback_on_step_end):
        videos: Tensor = pipe(
            images(range(seeds[0], seeds[0] + frames), **size).unsqueeze(0), resolution_scale=2,
            num_inference_steps=steps, generator=generators(seeds), output_type="pt", **arguments,
        ).frames  # fmt: skip
    return videos


# Its norms compute in float32, which their weights must be as well: about those that are moved torch warns.
TINY = {
    "Kandinsky6SRPipeline": Tiny(make=make_pipeline, generate=generate, batched=False, dtypes=(torch.bfloat16,),
                                 other_shape={"frames": 5}),
}  # fmt: skip
