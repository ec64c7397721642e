"""LTX-Video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows

TEXT_TOKENS = 5


def make_vae() -> AutoencoderKLLTXVideo:
    """A quarter of height, width and frames, 8 channels."""
    torch.manual_seed(1)
    return AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8),
        layers_per_block=(1,) * 4, decoder_layers_per_block=(1,) * 4, spatio_temporal_scaling=(True, True, False),
        decoder_spatio_temporal_scaling=(True, True, False), decoder_inject_noise=(False,) * 4,
        downsample_type=("conv",) * 3, upsample_residual=(False,) * 3, upsample_factor=(1,) * 3,
        patch_size=1, down_block_types=("LTXVideoDownBlock3D",) * 3,
    )  # fmt: skip


def make_pipeline(pipeline: Any = LTXPipeline, *, vae: bool = False) -> Any:
    torch.manual_seed(0)
    transformer = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        num_layers=3, caption_channels=12,
    )  # fmt: skip
    return quiet(pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=make_vae() if vae else None, text_encoder=None, tokenizer=None,
        transformer=transformer,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    mask = torch.ones(len(seeds), TEXT_TOKENS, dtype=torch.bool)
    if guided:
        arguments |= {
            "negative_prompt_embeds": rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype),
            "negative_prompt_attention_mask": mask,
        }
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), prompt_attention_mask=mask, num_frames=9,
        guidance_scale=3.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).frames  # fmt: skip
    return latents


def generate_from_picture(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
                          height: int = 32, width: int = 32, **arguments: Any) -> Tensor:  # fmt: skip
    picture = images(seeds, height, width, dtype=pipe.transformer.dtype)
    return generate(pipe, seeds=seeds, steps=steps, guided=guided, height=height, width=width, image=picture,
                    **arguments)  # fmt: skip


TINY = {
    "LTXPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch"),
    "LTXImageToVideoPipeline": Tiny(
        make=lambda: make_pipeline(LTXImageToVideoPipeline, vae=True), generate=generate_from_picture,
        guidance="batch", other_shape={"height": 64},
    ),
}  # fmt: skip
