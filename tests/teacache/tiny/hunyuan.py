"""HunyuanVideo and HunyuanImage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanImagePipeline,
    HunyuanImageTransformer2DModel,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoImageToVideoPipeline,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows
from tests.teacache.tiny.steps import called_back

TEXT_TOKENS = 5

CONFIG = {
    "in_channels": 4, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2,
    "num_single_layers": 2, "num_refiner_layers": 1, "text_embed_dim": 12, "rope_axes_dim": (2, 2, 4),
}  # fmt: skip


def make_transformer(**config: Any) -> HunyuanVideoTransformer3DModel:
    torch.manual_seed(0)
    return HunyuanVideoTransformer3DModel(**{**CONFIG, "pooled_projection_dim": 10, **config})


def make_vae() -> AutoencoderKLHunyuanVideo:
    torch.manual_seed(0)
    return AutoencoderKLHunyuanVideo(
        latent_channels=4, down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4, block_out_channels=(4, 4, 4, 4), layers_per_block=1,
        norm_num_groups=2, mid_block_add_attention=False,
    )  # fmt: skip


def make_pipeline() -> HunyuanVideoPipeline:
    return quiet(HunyuanVideoPipeline(
        text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, vae=None,
        transformer=make_transformer(), scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    ))  # fmt: skip


def make_image_to_video() -> HunyuanVideoImageToVideoPipeline:
    return quiet(HunyuanVideoImageToVideoPipeline(
        text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, vae=make_vae(),
        transformer=make_transformer(image_condition_type="token_replace"), image_processor=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    ))  # fmt: skip


def make_1_5() -> HunyuanVideo15Pipeline:
    torch.manual_seed(0)
    config = {key: value for key, value in CONFIG.items() if key != "num_single_layers"}
    pipe = HunyuanVideo15Pipeline(
        text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, vae=make_vae(),
        transformer=HunyuanVideo15Transformer3DModel(**{
            **config, "in_channels": 9, "text_embed_2_dim": 6, "image_embed_dim": 6,
        }),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0), guider=ClassifierFreeGuidance(guidance_scale=6.0),
    )  # fmt: skip
    pipe.vision_num_semantic_tokens = 3
    return quiet(pipe)


def make_image_pipeline() -> HunyuanImagePipeline:
    torch.manual_seed(0)
    config = {**CONFIG, "rope_axes_dim": (4, 4), "text_embed_2_dim": 6}
    return quiet(HunyuanImagePipeline(
        text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, vae=None,
        transformer=HunyuanImageTransformer2DModel(**config), scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
        guider=ClassifierFreeGuidance(guidance_scale=3.5),
    ))  # fmt: skip


def captions(seeds: Sequence[int], dtype: torch.dtype, negative: bool = False) -> dict[str, Tensor]:
    """Embeddings and masks; prompts differ in length."""
    kept = torch.tensor([[token < TEXT_TOKENS - seed % 3 for token in range(TEXT_TOKENS)] for seed in seeds])
    prefix = "negative_" if negative else ""
    return {
        f"{prefix}prompt_embeds": rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        f"{prefix}pooled_prompt_embeds": rows(seeds, 10, dtype=dtype),
        f"{prefix}prompt_attention_mask": kept,
    }


def two_captions(seeds: Sequence[int], dtype: torch.dtype, negative: bool = False) -> dict[str, Tensor]:
    """The same for the models that read a prompt in two ways."""
    prefix = "negative_" if negative else ""
    first = captions(seeds, dtype)
    return {
        f"{prefix}prompt_embeds": first["prompt_embeds"],
        f"{prefix}prompt_embeds_mask": first["prompt_attention_mask"].long(),
        f"{prefix}prompt_embeds_2": rows(seeds, 2, 6, dtype=dtype),
        f"{prefix}prompt_embeds_mask_2": torch.ones(len(seeds), 2, dtype=torch.long),
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= {**captions(negatives(seeds), dtype, negative=True), "true_cfg_scale": 6.0}
    latents: Tensor = pipe(
        **captions(seeds, dtype), num_frames=5, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 32, "width": 32, **arguments},
    ).frames  # fmt: skip
    return latents


def generate_from_image(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    shape = (3, arguments.get("height", 32), arguments.get("width", 32))
    return generate(pipe, seeds=seeds, image=rows(seeds, *shape).clamp(0, 1), **arguments)


def generate_1_5(pipe: Any, callback_on_step_end: Any = None, **arguments: Any) -> Tensor:
    with called_back(pipe, callback_on_step_end):
        return generate_with_guider(pipe, num_frames=5, **arguments)


def generate_with_guider(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
                         **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments |= two_captions(negatives(seeds), dtype, negative=True)
    pipe.guider.enable() if guided else pipe.guider.disable()
    latents = pipe(
        **two_captions(seeds, dtype), num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"height": 64, "width": 64, **arguments},
    )  # fmt: skip
    output: Tensor = latents[0]
    return output


TINY = {
    "HunyuanVideoPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls",
                                 other_shape={"height": 48}),
    "HunyuanVideoImageToVideoPipeline": Tiny(make=make_image_to_video, generate=generate_from_image, guidance="calls",
                                             threshold=0.05, other_shape={"height": 48}),
    "HunyuanVideo15Pipeline": Tiny(make=make_1_5, generate=generate_1_5,
                                   guidance="calls"),
    "HunyuanImagePipeline": Tiny(make=make_image_pipeline, generate=generate_with_guider, guidance="calls"),
}  # fmt: skip
