"""GLM-Image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, GlmImagePipeline, GlmImageTransformer2DModel
from PIL import Image
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows


def make_pipeline() -> GlmImagePipeline:
    torch.manual_seed(0)
    transformer = GlmImageTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=3, attention_head_dim=8, num_attention_heads=2, text_embed_dim=12,
        time_embed_dim=16, condition_dim=8, prior_vq_quantizer_codebook_size=16,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4), latent_channels=4, norm_num_groups=2, mid_block_add_attention=False,
        latents_mean=[0.0] * 4, latents_std=[0.2] * 4,
    )  # fmt: skip
    return quiet(GlmImagePipeline(
        tokenizer=None, processor=None, text_encoder=None, vision_language_encoder=None, vae=vae,
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    ))  # fmt: skip


def given(seeds: Sequence[int], height: int, width: int, tokens: int) -> dict[str, Any]:
    """A picture for each sample, with what the language model would make of it."""
    values = (images(seeds, height, width) * 255).byte().permute(0, 2, 3, 1)
    return {
        "image": [[Image.fromarray(picture.numpy())] for picture in values],
        "prior_token_image_ids": list(rows([seed + 3000 for seed in seeds], tokens).argsort(dim=1) % 16),
        "source_image_grid_thw": [torch.tensor([[1, 1, tokens]])] * len(seeds),
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             pictures: bool = False, **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    size = {name: arguments.pop(name, 64) for name in ("height", "width")}
    tokens = size["height"] * size["width"] // (2 * pipe.vae_scale_factor) ** 2
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), 5, 12, dtype=dtype)
    if pictures:
        arguments |= given(seeds, **size, tokens=tokens)
    latents: Tensor = pipe(
        prompt_embeds=rows(seeds, 5, 12, dtype=dtype), prior_token_ids=rows(seeds, tokens).argsort(dim=1) % 16,
        guidance_scale=3.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **size, **arguments,
    ).images  # fmt: skip
    return latents


TINY = {"GlmImagePipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", threshold=0.2)}
