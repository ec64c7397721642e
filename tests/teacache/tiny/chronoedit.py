"""ChronoEdit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ChronoEditPipeline, ChronoEditTransformer3DModel, FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from tests.teacache.tiny.base import Tiny, quiet, rows
from tests.teacache.tiny.wan import CONFIG, generate, make_vae


def make_pipeline() -> ChronoEditPipeline:
    torch.manual_seed(0)
    transformer = ChronoEditTransformer3DModel(**CONFIG | {"in_channels": 36, "image_dim": 8, "added_kv_proj_dim": 24})
    image_encoder = CLIPVisionModel(CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16,
    ))  # fmt: skip
    return quiet(ChronoEditPipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), image_encoder=image_encoder,
        image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), transformer=transformer,
    ))  # fmt: skip


def generate_from_image(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    shape = (3, arguments.get("height", 32), arguments.get("width", 32))
    return generate(pipe, seeds=seeds, image=rows((0,), *shape).clamp(0, 1), **arguments)


TINY = {
    "ChronoEditPipeline": Tiny(make=make_pipeline, generate=generate_from_image, guidance="calls", threshold=1.0,
                               other_shape={"height": 48}),
}  # fmt: skip
