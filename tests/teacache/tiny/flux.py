"""FLUX.1, in the pipelines of its variants."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Generate, Tiny, generators, images, negatives, quiet, rows, tiny_vae

TEXT_TOKENS = 5
CONFIG = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 3, "attention_head_dim": 8, "num_attention_heads": 2,
    "joint_attention_dim": 12, "pooled_projection_dim": 10, "axes_dims_rope": (2, 2, 4),
}  # fmt: skip


def make_transformer(**config: Any) -> FluxTransformer2DModel:
    torch.manual_seed(0)
    return FluxTransformer2DModel(**{**CONFIG, **config}).eval().requires_grad_(False)


def make_pipeline(pipeline: Any = FluxPipeline, *, vae: bool = False, controlnet: bool = False, **config: Any) -> Any:
    transformer = make_transformer(**config)
    more: dict[str, Any] = {"vae": tiny_vae() if vae else None}
    if controlnet:
        with warnings.catch_warnings():  # diffusers' own, about where a class of its is imported from
            warnings.simplefilter("ignore", FutureWarning)
            more["controlnet"] = FluxControlNetModel(**{**CONFIG, "num_layers": 1, "num_single_layers": 1})
        for parameter in more["controlnet"].parameters():  # its last layers start at zero
            torch.nn.init.normal_(parameter, std=0.1)
    return quiet(pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None, transformer=transformer, **more,
    ))  # fmt: skip


def embeddings(seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Text tokens and pooled vectors, as the text encoders would give them."""
    both = rows(seeds, 10 + TEXT_TOKENS * 12, dtype=dtype)
    return both[:, 10:].reshape(-1, TEXT_TOKENS, 12), both[:, :10]


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    tokens, pooled = embeddings(seeds, dtype)
    if guided:
        negative_tokens, negative_pooled = embeddings(negatives(seeds), dtype)
        arguments |= {
            "negative_prompt_embeds": negative_tokens,
            "negative_pooled_prompt_embeds": negative_pooled,
            "true_cfg_scale": 2.0,
        }
    latents: Tensor = pipe(
        prompt_embeds=tokens, pooled_prompt_embeds=pooled, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


def with_pictures(extra: Callable[..., dict[str, Any]]) -> Generate:
    """`generate` for pipelines that take pictures of 16x16, as `extra(seeds, height, width, dtype)` names them."""

    def generate_with_pictures(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
                               height: int = 16, width: int = 16, **arguments: Any) -> Tensor:  # fmt: skip
        given = extra(seeds, height, width, dtype=pipe.transformer.dtype)
        return generate(pipe, seeds=seeds, steps=steps, guided=guided, height=height, width=width,
                        **{**given, **arguments})  # fmt: skip

    return generate_with_pictures


def picture(seeds: Sequence[int], height: int, width: int, dtype: torch.dtype) -> dict[str, Any]:
    return {"image": images(seeds, height, width, dtype=dtype)}


def kontext(seeds: Sequence[int], height: int, width: int, dtype: torch.dtype) -> dict[str, Any]:
    return {**picture(seeds, height, width, dtype), "max_area": height * width, "_auto_resize": False}


def from_picture(seeds: Sequence[int], height: int, width: int, dtype: torch.dtype) -> dict[str, Any]:
    return {**picture(seeds, height, width, dtype), "strength": 1.0}


def masked(seeds: Sequence[int], height: int, width: int, dtype: torch.dtype) -> dict[str, Any]:
    return {
        **from_picture(seeds, height, width, dtype),
        "mask_image": images(seeds, height, width, channels=1, dtype=dtype).round(),
    }


def controlled(seeds: Sequence[int], height: int, width: int, dtype: torch.dtype) -> dict[str, Any]:
    return {"control_image": images(seeds, height, width, dtype=dtype)}


TALLER = {"height": 24}
HALF_WAY = {"strength": 0.6}

TINY = {
    "FluxPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls"),
    "FluxKontextPipeline": Tiny(
        make=lambda: make_pipeline(FluxKontextPipeline, vae=True), generate=with_pictures(kontext), guidance="calls",
        tolerance=0.2, other_shape=TALLER,
    ),
    "FluxImg2ImgPipeline": Tiny(
        make=lambda: make_pipeline(FluxImg2ImgPipeline, vae=True), generate=with_pictures(from_picture),
        guidance="calls", tolerance=0.2, strength=HALF_WAY, other_shape=TALLER,
    ),
    "FluxInpaintPipeline": Tiny(
        make=lambda: make_pipeline(FluxInpaintPipeline, vae=True), generate=with_pictures(masked), guidance="calls",
        threshold=0.25, tolerance=0.2, strength=HALF_WAY, other_shape=TALLER,
    ),
    "FluxFillPipeline": Tiny(
        make=lambda: make_pipeline(FluxFillPipeline, vae=True, in_channels=48, out_channels=16),
        generate=with_pictures(masked), tolerance=0.2, strength=HALF_WAY, other_shape=TALLER,
    ),
    "FluxControlPipeline": Tiny(
        make=lambda: make_pipeline(FluxControlPipeline, vae=True, in_channels=32, out_channels=16),
        generate=with_pictures(controlled), tolerance=0.2, other_shape=TALLER,
    ),
    "FluxControlNetPipeline": Tiny(
        make=lambda: make_pipeline(FluxControlNetPipeline, vae=True, controlnet=True),
        generate=with_pictures(controlled), guidance="calls", tolerance=0.2, other_shape=TALLER,
    ),
}  # fmt: skip
