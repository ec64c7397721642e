"""Chroma."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ChromaImg2ImgPipeline,
    ChromaPipeline,
    ChromaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer() -> ChromaTransformer2DModel:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses diffusers' old FluxPosEmbed
        return ChromaTransformer2DModel(
            in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=12, axes_dims_rope=(2, 2, 4), approximator_num_channels=8, approximator_hidden_dim=16,
            approximator_layers=1,
        )  # fmt: skip


def make_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4), latent_channels=4, norm_num_groups=2, shift_factor=0.0, scaling_factor=1.0,
        use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False,
    )  # fmt: skip


def make_pipeline(kind: type = ChromaPipeline, **components: Any) -> Any:
    return quiet(kind(**{
        "scheduler": FlowMatchEulerDiscreteScheduler(), "vae": None, "text_encoder": None, "tokenizer": None,
        "transformer": make_transformer(), **components,
    }))  # fmt: skip


def make_image_to_image() -> Any:
    return make_pipeline(ChromaImg2ImgPipeline, vae=make_vae())


def captions(seeds: Sequence[int], dtype: torch.dtype, prefix: str = "") -> dict[str, Tensor]:
    """Embeddings and masks; prompts differ in length."""
    kept = torch.tensor([[token < TEXT_TOKENS - seed % 3 for token in range(TEXT_TOKENS)] for seed in seeds])
    return {
        f"{prefix}prompt_embeds": rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        f"{prefix}prompt_attention_mask": kept.to(dtype),
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    latents: Tensor = pipe(
        **captions(seeds, dtype), **captions(negatives(seeds), dtype, "negative_"),
        guidance_scale=5.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


def generate_from_image(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    shape = (3, arguments.get("height", 64), arguments.get("width", 64))
    return generate(pipe, seeds=seeds, image=rows(seeds, *shape).clamp(0, 1), **{"strength": 1.0, **arguments})


_tiny = partial(Tiny, guidance="calls", threshold=0.6, tolerance=0.5)

TINY = {
    "ChromaPipeline": _tiny(make=make_pipeline, generate=generate),
    "ChromaImg2ImgPipeline": _tiny(make=make_image_to_image, generate=generate_from_image, strength={"strength": 0.6}),
}
