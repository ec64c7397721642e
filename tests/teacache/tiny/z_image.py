"""Z-Image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows


def make_transformer(**config: Any) -> ZImageTransformer2DModel:
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=4, dim=16, n_layers=3, n_refiner_layers=1, n_heads=2,
        n_kv_heads=2, cap_feat_dim=12, axes_dims=[4, 2, 2], axes_lens=[256, 64, 64], **config,
    )  # fmt: skip
    for parameter in transformer.parameters():  # some are made without values
        torch.nn.init.normal_(parameter, std=0.1)
    return transformer


def make_pipeline() -> Any:
    return quiet(ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, text_encoder=None, tokenizer=None,
        transformer=make_transformer(),
    ))  # fmt: skip


def captions(seeds: Sequence[int], dtype: torch.dtype) -> list[Tensor]:
    """Of different lengths; each is padded to a multiple of 32 tokens, so that some have twice as many as others."""
    return [rows([seed], 28 + 3 * (seed % 3), 12, dtype=dtype)[0] for seed in seeds]


def captions_in_parts(seeds: Sequence[int], dtype: torch.dtype) -> list[list[Tensor]]:
    """What stands before a given picture, before the one that is made, and behind that."""
    return [list(caption.tensor_split(3)) for caption in captions(seeds, dtype)]


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             read: Callable[[Sequence[int], torch.dtype], Any] = captions, **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = read(negatives(seeds), dtype)
    latents: Tensor = pipe(
        prompt_embeds=read(seeds, dtype), guidance_scale=5.0 if guided else 0.0, num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


# Its tokens are padded to a multiple of 32, so that not every other height changes their number.
TINY = {
    "ZImagePipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", threshold=1.0, tolerance=1.0,
                           other_shape={"height": 192}),
}  # fmt: skip
