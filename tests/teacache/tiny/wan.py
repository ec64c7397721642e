"""Wan 2.1 and 2.2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
    WanVideoToVideoPipeline,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5

CONFIG = {
    "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16, "text_dim": 12,
    "freq_dim": 32, "ffn_dim": 32, "num_layers": 3, "rope_max_seq_len": 32,
}  # fmt: skip


def make_transformer(**config: Any) -> WanTransformer3DModel:
    torch.manual_seed(0)
    return WanTransformer3DModel(**{**CONFIG, **config})


def make_vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    return AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)


def make_pipeline(transformer: WanTransformer3DModel | None = None, **components: Any) -> WanPipeline:
    return quiet(WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=transformer or make_transformer(), **components,
    ))  # fmt: skip


def make_two_denoisers() -> WanPipeline:
    """Wan 2.2: the second denoiser takes over when less than 0.8 of the noise is left."""
    torch.manual_seed(1)
    return make_pipeline(transformer_2=WanTransformer3DModel(**{**CONFIG, "num_layers": 2}), boundary_ratio=0.8)


def make_image_to_video() -> WanImageToVideoPipeline:
    return quiet(WanImageToVideoPipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=make_transformer(in_channels=36),  # as in Wan 2.2: no image embeddings
    ))  # fmt: skip


def make_video_to_video() -> WanVideoToVideoPipeline:
    return quiet(WanVideoToVideoPipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=make_transformer(),
    ))  # fmt: skip


def make_vace() -> WanVACEPipeline:
    torch.manual_seed(0)
    transformer = WanVACETransformer3DModel(**CONFIG, vace_layers=[0, 1], vace_in_channels=96)
    return quiet(WanVACEPipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype)
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), guidance_scale=5.0 if guided else 1.0,
        num_inference_steps=steps, output_type="latent",
        **{"height": 32, "width": 32, "generator": generators(seeds), **arguments},
    ).frames  # fmt: skip
    return latents


def generate_from_image(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    shape = (3, arguments.get("height", 32), arguments.get("width", 32))
    return generate(pipe, seeds=seeds, image=rows((0,), *shape).clamp(0, 1), num_frames=5, **arguments)


def generate_with_hints(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    """VACE takes one sample, and its VAE no list of generators."""
    (generator,) = generators(seeds)
    return generate(pipe, seeds=seeds, num_frames=5, **{"generator": generator, **arguments})


def generate_from_video(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    shape = (3, arguments.get("height", 32), arguments.get("width", 32))
    video = [rows((frame,), *shape).clamp(0, 1) for frame in range(5)]
    return generate(pipe, seeds=seeds, video=[torch.cat(video)] * len(seeds), **{"strength": 1.0, **arguments})


_tiny = partial(Tiny, guidance="calls", threshold=1.0, other_shape={"height": 48})

TINY = {
    "WanPipeline": _tiny(make=make_pipeline, generate=partial(generate, num_frames=5)),
    "WanImageToVideoPipeline": _tiny(make=make_image_to_video, generate=generate_from_image),
    "WanVideoToVideoPipeline": _tiny(make=make_video_to_video, generate=generate_from_video,
                                     strength={"strength": 0.6}),
    "WanVACEPipeline": _tiny(make=make_vace, generate=generate_with_hints, batched=False),
}  # fmt: skip
