"""OmniGen."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from zlib import crc32

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, OmniGenPipeline, OmniGenTransformer2DModel
from diffusers.pipelines.omnigen import pipeline_omnigen
from diffusers.pipelines.omnigen.processor_omnigen import OmniGenCollator, OmniGenMultiModalProcessor
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, quiet
from tests.teacache.tiny.chroma import make_vae


class Processor(OmniGenMultiModalProcessor):
    """Takes pictures as tensors, where its own needs torchvision, and a token for each word."""

    def __init__(self, text_tokenizer: None, max_image_size: int) -> None:
        self.max_image_size = max_image_size
        self.collator = OmniGenCollator()

    def text_tokenizer(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(input_ids=[3 + crc32(word.encode()) % 29 for word in text.split()])

    def process_image(self, image: Tensor) -> Tensor:
        return image


def make_pipeline() -> OmniGenPipeline:
    torch.manual_seed(0)
    transformer = OmniGenTransformer2DModel(
        hidden_size=16, num_attention_heads=2, num_key_value_heads=2, intermediate_size=32, num_layers=3,
        pad_token_id=2, vocab_size=32, max_position_embeddings=4096, time_step_dim=16, pos_embed_max_size=16,
        rope_scaling={"short_factor": [1.0] * 4, "long_factor": [1.0] * 4},
    )  # fmt: skip
    with patch.object(pipeline_omnigen, "OmniGenMultiModalProcessor", Processor, create=True):
        return quiet(OmniGenPipeline(
            transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True), vae=make_vae(),
            tokenizer=None,
        ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = True,
             **arguments: Any) -> Tensor:  # fmt: skip
    """It is always guided. Prompts have one length: the first row's positions are used for all."""
    latents: Tensor = pipe(
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"prompt": [f"seed {seed}" for seed in seeds], "height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


# Its mask is NaN in float64.
TINY = {
    "OmniGenPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", threshold=0.05,
                            dtypes=(torch.bfloat16,)),
}  # fmt: skip
