"""AnyFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AnyFlowPipeline, AnyFlowTransformer3DModel, FlowMapEulerDiscreteScheduler
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


TINY = {
    "AnyFlowPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", other_shape={"height": 48}),
}  # fmt: skip
