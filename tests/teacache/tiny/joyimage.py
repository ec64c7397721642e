"""JoyImage-Edit and JoyImage-Edit-Plus."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    JoyImageEditPipeline,
    JoyImageEditPlusPipeline,
    JoyImageEditPlusTransformer3DModel,
    JoyImageEditTransformer3DModel,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from PIL import Image
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows

TEXT_TOKENS = 5
SIZE = {"height": 64, "width": 64}


class CertainVAE(AutoencoderKLWan):
    """Encodes to the mean: the pipeline draws from the global generator, which threads share."""

    def encode(self, x: Tensor) -> AutoencoderKLOutput:
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(self._encode(x), deterministic=True))


def make(kind: type, transformer_kind: Any) -> Any:
    torch.manual_seed(0)
    transformer = transformer_kind(
        in_channels=16, hidden_size=16, num_attention_heads=2, text_dim=12, mlp_width_ratio=2.0, num_layers=3,
        rope_dim_list=[4, 2, 2],
    )  # fmt: skip
    vae = CertainVAE(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    return quiet(kind(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=4.0), vae=vae, text_encoder=None, tokenizer=None,
        transformer=transformer, processor=None,
    ))  # fmt: skip


def as_asked(image: Any, height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """In the place of what changes every size to one of about 1024x1024."""
    return height or SIZE["height"], width or SIZE["width"]


def make_edit() -> JoyImageEditPipeline:
    pipe = make(JoyImageEditPipeline, JoyImageEditTransformer3DModel)
    pipe.vae_image_processor.get_default_height_width = as_asked
    return pipe


def make_edit_plus() -> JoyImageEditPlusPipeline:
    pipe = make(JoyImageEditPlusPipeline, JoyImageEditPlusTransformer3DModel)
    pipe.image_processor.get_default_height_width = as_asked

    def encode(prompt: Sequence[str], **_: Any) -> tuple[Tensor, Tensor]:
        """It takes no embeddings; prompts hold the seeds of theirs, and differ in length."""
        seeds = [int(re.sub(r"\D", "", one)) for one in prompt]
        kept = torch.tensor([[token < TEXT_TOKENS - seed % 3 for token in range(TEXT_TOKENS)] for seed in seeds])
        return rows(seeds, TEXT_TOKENS, 12, dtype=pipe.transformer.dtype), kept.long()

    pipe.encode_prompt_multiple_images = encode
    return pipe


def pictures(seeds: Sequence[int]) -> list[Image.Image]:
    values = (images(seeds, SIZE["height"], SIZE["width"]) * 255).byte().permute(0, 2, 3, 1)
    return [Image.fromarray(picture.numpy()) for picture in values]


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    latents: Tensor = pipe(
        guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{**SIZE, **arguments},
    ).images  # fmt: skip
    return latents


def generate_edited(pipe: Any, *, seeds: Sequence[int] = (0,), guided: bool = False, **arguments: Any) -> Tensor:
    def texts(seeds: Sequence[int], prefix: str = "") -> dict[str, Tensor]:
        embeds = rows(seeds, TEXT_TOKENS, 12, dtype=pipe.transformer.dtype)
        return {f"{prefix}prompt_embeds": embeds, f"{prefix}prompt_embeds_mask": torch.ones(embeds.shape[:2])}

    arguments |= texts(seeds)
    if guided:
        arguments |= texts(negatives(seeds), "negative_")
    return generate(pipe, seeds=seeds, guided=guided, image=pictures(seeds), **arguments)


def generate_edited_from_several(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    """Odd seeds have one picture, even ones two. The patches of what is made, without those of what was given."""
    given = [pictures((seed, seed + 1)[: 2 - seed % 2]) for seed in seeds]
    patches = generate(
        pipe, seeds=seeds, images=given, prompt=[str(seed) for seed in seeds],
        negative_prompt=[str(seed) for seed in negatives(seeds)], **arguments,
    )  # fmt: skip
    size = {**SIZE, **arguments}
    return patches[:, : size["height"] * size["width"] // 16**2]


_tiny = partial(Tiny, other_shape={"height": 96})

TINY = {
    "JoyImageEditPipeline": _tiny(make=make_edit, generate=generate_edited, guidance="calls", threshold=0.25),
    "JoyImageEditPlusPipeline": _tiny(make=make_edit_plus, generate=generate_edited_from_several, guidance="batch",
                                      threshold=0.07, tolerance=0.02),
}  # fmt: skip
