"""Wan 2.2 Animate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanAnimatePipeline, WanAnimateTransformer3DModel
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows
from tests.teacache.tiny.wan import CONFIG, make_vae

SEGMENT = 5
"""Frames."""
FACE = 16
TEXT_TOKENS = 512  # which is how its attention tells text from the image before it


def make_transformer(**config: Any) -> WanAnimateTransformer3DModel:
    torch.manual_seed(0)
    return WanAnimateTransformer3DModel(**{
        **CONFIG, "in_channels": 36, "latent_channels": 16, "image_dim": 8, "added_kv_proj_dim": 24, "num_layers": 4,
        "motion_encoder_channel_sizes": {"4": 4, "8": 4, "16": 4}, "motion_encoder_size": FACE, "motion_style_dim": 8,
        "motion_dim": 4, "motion_encoder_dim": 8, "face_encoder_hidden_dim": 8, "face_encoder_num_heads": 2,
        "inject_face_latents_blocks": 2, **config,
    })  # fmt: skip


def make_pipeline() -> WanAnimatePipeline:
    transformer = make_transformer()
    image_encoder = CLIPVisionModel(CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16,
    ))  # fmt: skip
    return quiet(WanAnimatePipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), image_encoder=image_encoder,
        image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), transformer=transformer,
    ))  # fmt: skip


def video(frames: int, height: int, width: int) -> list[Image.Image]:
    values = (images(range(frames), height, width) * 255).byte().permute(0, 2, 3, 1)
    return [Image.fromarray(frame.numpy()) for frame in values]


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             frames: int = SEGMENT, **arguments: Any) -> Tensor:  # fmt: skip
    """Latents of the last segment."""
    dtype = pipe.transformer.dtype
    size = {name: arguments.pop(name, 32) for name in ("height", "width")}
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype)
    latents: Tensor = pipe(
        image=images((0,), **size), pose_video=video(frames, **size), face_video=video(frames, FACE, FACE),
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), guidance_scale=5.0 if guided else 1.0,
        num_inference_steps=steps, generator=generators(seeds), segment_frame_length=SEGMENT, output_type="latent",
        **size, **arguments,
    ).frames  # fmt: skip
    return latents


TINY = {
    "WanAnimatePipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", threshold=1.0, tolerance=0.4,
                               other_shape={"height": 48}),
}  # fmt: skip
