"""ConsisID: CogVideoX with a face extractor and cross attention to the face between its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import CogVideoXDDIMScheduler, ConsisIDTransformer3DModel
from diffusers.pipelines.consisid.pipeline_consisid import ConsisIDPipeline  # diffusers itself asks for OpenCV first
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows, tiny_video_vae

TEXT_TOKENS = 5
FACES = (0,)
"""The seed of the face: one for the whole batch."""


def make_pipeline() -> Any:
    torch.manual_seed(0)
    transformer = ConsisIDTransformer3DModel(
        num_attention_heads=3, attention_head_dim=16, in_channels=8, out_channels=4, time_embed_dim=16,
        text_embed_dim=12, num_layers=4, sample_width=4, sample_height=4, sample_frames=5,
        max_text_seq_length=TEXT_TOKENS, use_rotary_positional_embeddings=True, is_train_face=True,
        cross_attn_interval=2, cross_attn_dim_head=4, cross_attn_num_heads=2, LFE_id_dim=6, LFE_vit_dim=8,
        LFE_depth=5, LFE_dim_head=4, LFE_num_heads=2, LFE_num_id_token=2, LFE_num_querie=3, LFE_output_dim=32,
        LFE_ff_mult=1, LFE_num_scale=5,
    )  # fmt: skip
    return quiet(ConsisIDPipeline(
        tokenizer=None, text_encoder=None, vae=tiny_video_vae(), transformer=transformer,
        scheduler=CogVideoXDDIMScheduler(),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             height: int = 8, width: int = 8, **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype)
    latents: Tensor = pipe(
        image=images(seeds, height, width, dtype=dtype), prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        id_cond=rows(FACES, 6, dtype=dtype), id_vit_hidden=[rows(FACES, 7, 8, dtype=dtype)] * 5,
        guidance_scale=6.0 if guided else 1.0, num_frames=5, num_inference_steps=steps, height=height, width=width,
        generator=generators(seeds), output_type="latent", **arguments,
    ).frames  # fmt: skip
    return latents


TINY = {
    "ConsisIDPipeline": Tiny(
        make=make_pipeline, generate=generate, guidance="batch", threshold=1.0, other_shape={"height": 16},
    ),
}  # fmt: skip
