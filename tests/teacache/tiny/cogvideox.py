"""CogVideoX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows, tiny_video_vae

TEXT_TOKENS = 5


def make_transformer(**config: Any) -> CogVideoXTransformer3DModel:
    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(**{
        "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 4, "time_embed_dim": 16,
        "text_embed_dim": 12, "num_layers": 3, "sample_width": 4, "sample_height": 4, "sample_frames": 5,
        "max_text_seq_length": TEXT_TOKENS, **config,
    })  # fmt: skip


def make_pipeline(pipeline: Any = CogVideoXPipeline, *, vae: bool = False, **config: Any) -> Any:
    return quiet(pipeline(
        scheduler=CogVideoXDDIMScheduler(), vae=tiny_video_vae() if vae else None, text_encoder=None, tokenizer=None,
        transformer=make_transformer(**config),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype)
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), guidance_scale=6.0 if guided else 1.0, num_frames=5,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"height": 32, "width": 32, **arguments},
    ).frames  # fmt: skip
    return latents


def generate_from_picture(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
                          height: int = 8, width: int = 8, **arguments: Any) -> Tensor:  # fmt: skip
    picture = images(seeds, height, width, dtype=pipe.transformer.dtype)
    return generate(pipe, seeds=seeds, steps=steps, guided=guided, height=height, width=width, image=picture,
                    **arguments)  # fmt: skip


# As in CogVideoX1.5-5B-I2V: patches in time, rotary embeddings, an embedded offset.
IMAGE_TO_VIDEO = {
    "in_channels": 8, "patch_size_t": 2, "ofs_embed_dim": 16, "use_rotary_positional_embeddings": True,
    "attention_head_dim": 16, "sample_width": 16, "sample_height": 16,
}  # fmt: skip

TINY = {
    "CogVideoXPipeline": Tiny(
        make=make_pipeline, generate=generate, guidance="batch", threshold=1.0, tolerance=0.2,
        other_shape={"height": 48},
    ),
    "CogVideoXImageToVideoPipeline": Tiny(
        make=lambda: make_pipeline(CogVideoXImageToVideoPipeline, vae=True, **IMAGE_TO_VIDEO),
        generate=generate_from_picture, guidance="batch", threshold=1.0, other_shape={"height": 16},
    ),
}  # fmt: skip
