"""Stable Audio 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderSAME, FlowMatchEulerDiscreteScheduler, StableAudio3DiTModel, StableAudio3Pipeline
from diffusers.pipelines.stable_audio_3.modeling_stable_audio_3 import StableAudio3DurationEmbedder
from torch import Tensor

from tests.teacache.tiny.base import Tiny, audio_vae, generators, negatives, quiet
from tests.teacache.tiny.chroma import captions


def make_pipeline() -> StableAudio3Pipeline:
    torch.manual_seed(0)
    transformer = StableAudio3DiTModel(
        io_channels=4, embed_dim=16, depth=3, num_heads=2, cond_token_dim=12, global_cond_dim=12,
        local_add_cond_dim=5, timestep_features_dim=16, num_memory_tokens=2,
    )  # fmt: skip
    vae = audio_vae(
        AutoencoderSAME, patch_size=2, encoder_channels=8, encoder_c_mults=(1,), encoder_strides=(2,),
        encoder_transformer_depths=(1,), latent_dim=4, dim_heads=4, sampling_rate=16,
    )  # fmt: skip
    return quiet(StableAudio3Pipeline(
        vae=vae,
        text_encoder=None, tokenizer=None, duration_embedder=StableAudio3DurationEmbedder(12, fourier_dim=16),
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    texts = captions(seeds, pipe.transformer.dtype)
    arguments |= {"prompt_embeds": texts["prompt_embeds"], "encoder_attention_mask": texts["prompt_attention_mask"]}
    if guided:
        texts = captions(negatives(seeds), pipe.transformer.dtype)
        arguments["negative_prompt_embeds"] = texts["prompt_embeds"]
        arguments["negative_encoder_attention_mask"] = texts["prompt_attention_mask"]
    latents: Tensor = pipe(
        guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"duration": 2.0, **arguments},
    ).audios  # fmt: skip
    return latents


TINY = {
    "StableAudio3Pipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch",
                                 other_shape={"duration": 3.0}),
}  # fmt: skip
