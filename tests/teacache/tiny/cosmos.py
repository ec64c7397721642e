"""Cosmos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import (
    Cosmos2TextToImagePipeline,
    CosmosTextToWorldPipeline,
    CosmosTransformer3DModel,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor, nn

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer(**config: Any) -> CosmosTransformer3DModel:
    """The learnable positions, zero in a new model, get values."""
    torch.manual_seed(0)
    transformer = CosmosTransformer3DModel(**{
        "in_channels": 4, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 3,
        "mlp_ratio": 2, "text_embed_dim": 12, "adaln_lora_dim": 4, "max_size": (4, 32, 32),
        "concat_padding_mask": False, **config,
    })  # fmt: skip
    if transformer.learnable_pos_embed is not None:
        for parameter in transformer.learnable_pos_embed.parameters():
            nn.init.normal_(parameter)
    return transformer


class NothingToCheck(nn.Module):
    """In the place of the safety checker: there are neither prompts nor decoded videos here."""

    device, dtype = torch.device("cpu"), torch.float32


def make_pipeline() -> CosmosTextToWorldPipeline:
    return quiet(CosmosTextToWorldPipeline(
        text_encoder=None, tokenizer=None, transformer=make_transformer(), vae=None, safety_checker=NothingToCheck(),
        scheduler=EDMEulerScheduler(sigma_max=80, sigma_data=0.5, final_sigmas_type="sigma_min"),
    ))  # fmt: skip


def make_predict2() -> Cosmos2TextToImagePipeline:
    return quiet(Cosmos2TextToImagePipeline(
        text_encoder=None, tokenizer=None, vae=None, safety_checker=NothingToCheck(),
        transformer=make_transformer(extra_pos_embed_type=None),
        scheduler=FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype)
    latents = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype), guidance_scale=7.0 if guided else 1.0,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"height": 32, "width": 32, **arguments},
    )  # fmt: skip
    output: Tensor = latents[0]
    return output


_tiny = partial(Tiny, guidance="calls", other_shape={"height": 48})

TINY = {
    "CosmosTextToWorldPipeline": _tiny(make=make_pipeline, generate=partial(generate, num_frames=9),
                                       dtypes=(torch.bfloat16,)),  # its positions are always in float32
    "Cosmos2TextToImagePipeline": _tiny(make=make_predict2, generate=generate),
}  # fmt: skip
