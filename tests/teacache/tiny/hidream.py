"""HiDream-I1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HiDreamImagePipeline, HiDreamImageTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5
LLAMA_LAYERS = 4


def make_pipeline() -> Any:
    torch.manual_seed(0)
    transformer = HiDreamImageTransformer2DModel(
        patch_size=2, in_channels=4, out_channels=4, num_layers=2, num_single_layers=2, attention_head_dim=8,
        num_attention_heads=2, caption_channels=[12, 12], text_emb_dim=10, num_routed_experts=2,
        num_activated_experts=1, axes_dims_rope=(4, 2, 2), max_resolution=(8, 8),
        llama_layers=[0, 1, 2, 3], force_inference_output=True,
    )  # fmt: skip
    pipe = quiet(HiDreamImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None, text_encoder_3=None, tokenizer_3=None, text_encoder_4=None, tokenizer_4=None,
        transformer=transformer,
    ))  # fmt: skip
    pipe.default_sample_size = 8  # every size is scaled to its area
    return pipe


def embeddings(seeds: Sequence[int], dtype: torch.dtype, prefix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}prompt_embeds_t5": rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        f"{prefix}prompt_embeds_llama3": rows(seeds, LLAMA_LAYERS, TEXT_TOKENS, 12, dtype=dtype).transpose(0, 1),
        f"{prefix}pooled_prompt_embeds": rows(seeds, 10, dtype=dtype),
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= {name: value for name, value in embeddings(negatives(seeds), dtype, "negative_").items()}
    latents: Tensor = pipe(
        **embeddings(seeds, dtype), guidance_scale=5.0 if guided else 1.0, num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


TINY = {
    "HiDreamImagePipeline": Tiny(
        make=make_pipeline, generate=generate, guidance="batch", threshold=1.0,
        other_shape={"height": 128, "width": 32},
    ),
}  # fmt: skip
