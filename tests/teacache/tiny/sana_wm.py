"""SANA-WM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaWMPipeline, SanaWMTransformer3DModel
from PIL import Image
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows
from tests.teacache.tiny.ltx2 import make_vaes

TEXT_TOKENS, TEXT_WIDTH = 5, 12
FRAMES = 5


def make_pipeline() -> SanaWMPipeline:
    torch.manual_seed(0)
    transformer = SanaWMTransformer3DModel(
        in_channels=4, num_layers=4, hidden_size=32, num_attention_heads=2, linear_head_dim=16, softmax_every_n=2,
        caption_channels=TEXT_WIDTH, chunk_plucker_channels=6 * 2, chunk_plucker_post_attn_blocks=4,
    )  # fmt: skip
    for weight in transformer.parameters():
        if not weight.any():  # a new model does not look at the camera
            torch.nn.init.normal_(weight, std=0.05)
    return quiet(SanaWMPipeline(
        tokenizer=None, text_encoder=None, vae=make_vaes()["vae"], transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ))  # fmt: skip


def camera() -> np.ndarray[Any, Any]:
    """Poses of one that moves ahead."""
    poses = np.tile(np.eye(4, dtype=np.float32), (FRAMES, 1, 1))
    poses[:, 2, 3] = 0.1 * np.arange(FRAMES)
    return poses


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype, size = pipe.transformer.dtype, {"height": 32, "width": 32, **arguments}
    (picture,) = images(seeds, size["height"], size["width"]).mul(255).byte()
    masks = torch.ones(1, TEXT_TOKENS, dtype=torch.int64)
    latents: Tensor = pipe(
        Image.fromarray(picture.permute(1, 2, 0).numpy()), "", c2w=camera(), intrinsics=[32.0, 32.0, 16.0, 16.0],
        num_frames=FRAMES, prompt_attention_mask=masks, guidance_scale=5.0 if guided else 1.0,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        prompt_embeds=rows(seeds, 1, TEXT_TOKENS, TEXT_WIDTH, dtype=dtype),
        negative_prompt_embeds=rows(negatives(seeds), 1, TEXT_TOKENS, TEXT_WIDTH, dtype=dtype),
        negative_prompt_attention_mask=masks, **size,
    ).frames  # fmt: skip
    return latents


TINY = {
    "SanaWMPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", batched=False,
                           other_shape={"height": 48}, dtypes=(torch.float64,)),
}  # fmt: skip
