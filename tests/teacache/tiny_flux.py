"""A FLUX small enough to run in milliseconds: random weights, real classes, embeddings instead of text encoders."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor

TEXT_TOKENS = 5


def make_transformer() -> FluxTransformer2DModel:
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=12, pooled_projection_dim=10, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    return model.eval().requires_grad_(False)


def make_pipeline() -> FluxPipeline:
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None, transformer=make_transformer(),
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def embeddings(seed: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Text tokens and pooled vector, as the text encoders would give them."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, TEXT_TOKENS, 12, generator=generator)
    return tokens, torch.randn(batch, 10, generator=generator)


def generate(pipe: FluxPipeline, *, seed: int = 0, steps: int = 12, batch: int = 1, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    """Latents (batch, tokens, channels) of one pipeline call; `guided` adds a second, unconditional branch."""
    tokens, pooled = embeddings(seed, batch)
    if guided:
        negative_tokens, negative_pooled = embeddings(seed + 1000, batch)
        arguments |= {
            "negative_prompt_embeds": negative_tokens,
            "negative_pooled_prompt_embeds": negative_pooled,
            "true_cfg_scale": 2.0,
        }
    latents: Tensor = pipe(
        prompt_embeds=tokens, pooled_prompt_embeds=pooled, height=64, width=64, num_inference_steps=steps,
        generator=torch.Generator().manual_seed(seed), output_type="latent", **arguments,
    ).images  # fmt: skip
    return latents
