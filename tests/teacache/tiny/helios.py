"""Helios."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import HeliosPipeline, HeliosScheduler, HeliosTransformer3DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, quiet
from tests.teacache.tiny.wan import CONFIG, make_vae
from tests.teacache.tiny.wan import generate as generate_as_wan

CHUNK = 9
"""Frames."""


def make_pipeline() -> HeliosPipeline:
    torch.manual_seed(0)
    config = {name: value for name, value in CONFIG.items() if name != "rope_max_seq_len"}
    return quiet(HeliosPipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), scheduler=HeliosScheduler(stages=1, stage_range=[0, 1]),
        transformer=HeliosTransformer3DModel(**config, rope_dim=(4, 4, 4)),
    ))  # fmt: skip


def generate(pipe: Any, **arguments: Any) -> Tensor:
    arguments = {"num_frames": CHUNK, **arguments}
    return generate_as_wan(pipe, history_sizes=[4, 2, 1], num_latent_frames_per_chunk=CHUNK // 4 + 1, **arguments)


TINY = {
    "HeliosPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", threshold=0.24,
                           other_shape={"height": 48}),
}  # fmt: skip
