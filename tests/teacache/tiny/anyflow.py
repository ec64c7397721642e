"""AnyFlow and AnyFlow FAR."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    AnyFlowFARPipeline,
    AnyFlowFARTransformer3DModel,
    AnyFlowPipeline,
    AnyFlowTransformer3DModel,
    FlowMapEulerDiscreteScheduler,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, quiet
from tests.teacache.tiny.wan import CONFIG, make_vae
from tests.teacache.tiny.wan import generate as generate_as_wan


def make_pipeline() -> AnyFlowPipeline:
    torch.manual_seed(0)
    return quiet(AnyFlowPipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), scheduler=FlowMapEulerDiscreteScheduler(shift=3.0),
        transformer=AnyFlowTransformer3DModel(**CONFIG),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    return generate_as_wan(pipe, seeds=seeds, num_frames=5, **arguments)


def make_far() -> AnyFlowFARPipeline:
    torch.manual_seed(0)
    return quiet(AnyFlowFARPipeline(
        tokenizer=None, text_encoder=None, vae=make_vae(), scheduler=FlowMapEulerDiscreteScheduler(shift=3.0),
        transformer=AnyFlowFARTransformer3DModel(**CONFIG, full_chunk_limit=2),
    ))  # fmt: skip


def generate_chunks(pipe: Any, *, chunks: Sequence[int] = (2,), **arguments: Any) -> Tensor:
    """
    Args:
        chunks: their lengths, in frames of latents.
    """
    frames = 4 * (sum(chunks) - 1) + 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
        return generate_as_wan(pipe, num_frames=frames, chunk_partition=list(chunks), **arguments)


TINY = {
    "AnyFlowPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", other_shape={"height": 48}),
    "AnyFlowFARPipeline": Tiny(make=make_far, generate=generate_chunks, guidance="batch", tolerance=0.02,
                               other_shape={"height": 64}),
}  # fmt: skip
