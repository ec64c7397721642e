"""HunyuanVideo as FramePack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoFramepackPipeline,
    HunyuanVideoFramepackTransformer3DModel,
)
from torch import Tensor
from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet
from tests.teacache.tiny.hunyuan import CONFIG, captions, make_vae


def make_pipeline() -> HunyuanVideoFramepackPipeline:
    torch.manual_seed(0)
    transformer = HunyuanVideoFramepackTransformer3DModel(**CONFIG | {
        "pooled_projection_dim": 10, "has_image_proj": True, "image_proj_dim": 8, "has_clean_x_embedder": True,
    })  # fmt: skip
    image_encoder = SiglipVisionModel(SiglipVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16,
    ))  # fmt: skip
    return quiet(HunyuanVideoFramepackPipeline(
        text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, vae=make_vae(),
        transformer=transformer, image_encoder=image_encoder,
        feature_extractor=SiglipImageProcessor(size={"height": 32, "width": 32}),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    size = {name: arguments.pop(name, 32) for name in ("height", "width")}
    if guided:
        arguments |= {**captions(negatives(seeds), dtype, negative=True), "true_cfg_scale": 6.0}
    sections: list[Tensor] = pipe(
        image=images(seeds, **size), **captions(seeds, dtype), num_frames=5, latent_window_size=2,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent", **size, **arguments,
    ).frames  # fmt: skip
    return sections[-1]


TINY = {
    "HunyuanVideoFramepackPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls",
                                          other_shape={"height": 48}),
}  # fmt: skip
