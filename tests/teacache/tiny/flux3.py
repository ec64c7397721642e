"""FLUX.3, of which diffusers has modular pipelines only; the distilled one is given a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import Flux3Transformer2DModel
from diffusers.modular_pipelines.flux3.modular_blocks_flux3 import Flux3CoreDenoiseStep
from diffusers.modular_pipelines.flux3.modular_blocks_flux3_distilled import (
    Flux3DistilledImageConditionedCoreDenoiseStep,
)
from torch import Tensor

from tests.teacache.tiny import modular
from tests.teacache.tiny.base import Tiny, negatives, of_blocks, rows

TEXT_TOKENS = 5
DTYPES = (torch.bfloat16,)
"""Some norms compute in float32; about those that are moved torch warns."""


def make_transformer(**config: Any) -> Flux3Transformer2DModel:
    torch.manual_seed(0)
    return Flux3Transformer2DModel(
        in_channels=16, cond_in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=12, timestep_channels=8, axes_dims_rope=(2, 2, 2, 2), **config,
    )  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), guided: bool = False, **arguments: Any) -> Tensor:
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), 3, 12, dtype=dtype)
    arguments["prompt_embeds"] = rows(seeds, TEXT_TOKENS, 12, dtype=dtype)
    latents: Tensor = modular.generate(pipe, seeds=seeds, guided=guided, **{**modular.SIZE, **arguments})
    return latents


def generate_from_picture(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    picture = rows([seed + 2000 for seed in seeds], 16, 3, 2, dtype=pipe.transformer.dtype)
    return generate(pipe, seeds=seeds, image_cond_latents=[picture], **arguments)


TINY = {
    "Flux3ModularPipeline": Tiny(
        make=lambda: of_blocks(Flux3CoreDenoiseStep(), transformer=make_transformer()), generate=generate,
        guidance="calls", dtypes=DTYPES,
    ),
    "Flux3DistilledModularPipeline": Tiny(
        make=lambda: of_blocks(
            Flux3DistilledImageConditionedCoreDenoiseStep(), transformer=make_transformer(flow_map=True)
        ),
        generate=generate_from_picture, dtypes=DTYPES,
    ),
}  # fmt: skip
