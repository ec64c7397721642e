"""Kandinsky 2's priors, and Shap-E."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from diffusers import (
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KandinskyPriorPipeline,
    KandinskyV22PriorPipeline,
    PriorTransformer,
    ShapEImg2ImgPipeline,
    ShapEPipeline,
    UnCLIPScheduler,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows
from tests.teacache.tiny.steps import called_back

SHAP_E_SCHEDULE: Mapping[str, Any] = {
    "num_train_timesteps": 1024, "prediction_type": "sample", "use_karras_sigmas": True,
}  # fmt: skip
WIDTH = 12
MOST_TOKENS = 7


def make_prior(**config: Any) -> PriorTransformer:
    torch.manual_seed(0)
    prior = PriorTransformer(num_attention_heads=2, attention_head_dim=8, num_layers=3, **config)
    for weight in prior.parameters():
        if not weight.any():  # places, among others
            torch.nn.init.normal_(weight, std=0.3)
    return prior


def captions(prompts: Sequence[str], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts are seeds: as a whole, token by token, and which tokens there are."""
    seeds = list(map(int, prompts))
    lengths = torch.tensor([[MOST_TOKENS - seed % 3] for seed in seeds])
    mask = torch.arange(MOST_TOKENS)[None] < lengths
    return rows(seeds, WIDTH, dtype=dtype), rows([seed + 1 for seed in seeds], MOST_TOKENS, WIDTH, dtype=dtype), mask


def make_pipeline(kind: Any = KandinskyV22PriorPipeline) -> Any:
    pipe = kind(
        prior=make_prior(embedding_dim=WIDTH, num_embeddings=MOST_TOKENS), image_encoder=None, text_encoder=None,
        tokenizer=None, image_processor=None,
        scheduler=UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0),
    )  # fmt: skip

    def encode_prompt(prompt: Sequence[str], device: torch.device, times: int, guided: bool,
                      negative_prompt: Sequence[str] | None = None) -> tuple[Tensor, ...]:  # fmt: skip
        given = captions(prompt, pipe.prior.dtype)
        negative = captions([str(seed) for seed in negatives(list(map(int, prompt)))], pipe.prior.dtype)
        return tuple(map(torch.cat, zip(negative, given, strict=True))) if guided else given

    pipe._encode_prompt = encode_prompt
    pipe.get_zero_embed = lambda count, device: torch.zeros(count, WIDTH)
    return quiet(pipe)


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             callback_on_step_end: Any = None, **arguments: Any) -> Tensor:  # fmt: skip
    with called_back(pipe, callback_on_step_end):
        embeddings: Tensor = pipe(
            list(map(str, seeds)), guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps,
            generator=generators(seeds), **arguments,
        ).image_embeds  # fmt: skip
    return embeddings


def make_shap_e(kind: Any = ShapEPipeline) -> Any:
    prior = make_prior(
        embedding_dim=8, num_embeddings=6, embedding_proj_dim=WIDTH, time_embed_dim=64, time_embed_act_fn="gelu",
        additional_embeddings=0, embedding_proj_norm_type="layer", norm_in_type="layer", encoder_hid_proj_type=None,
        added_emb_type=None, clip_embed_dim=16,
    )  # fmt: skip
    encoders = ("image_encoder", "image_processor") if kind is ShapEImg2ImgPipeline else ("text_encoder", "tokenizer")
    pipe = kind(
        prior=prior, shap_e_renderer=None, **dict.fromkeys(encoders),
        scheduler=HeunDiscreteScheduler(**SHAP_E_SCHEDULE, clip_sample=True, beta_schedule="exp"),
    )  # fmt: skip

    def encode(prompt: Sequence[str] | Tensor, device: torch.device, times: int, guided: bool) -> Tensor:
        dtype = pipe.prior.dtype
        given = prompt.to(dtype) if isinstance(prompt, Tensor) else captions(prompt, dtype)[0]
        return torch.cat([torch.zeros_like(given), given]) if guided else given

    pipe._encode_prompt = pipe._encode_image = encode
    return quiet(pipe)


def make_shap_e_in_single_steps(kind: Any = ShapEPipeline) -> Any:
    """With a scheduler that calls the prior once at each step."""
    pipe = make_shap_e(kind)
    pipe.scheduler = EulerDiscreteScheduler(**SHAP_E_SCHEDULE)
    return pipe


def generate_shap_e(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 4, guided: bool = True,
                    callback_on_step_end: Any = None) -> Tensor:  # fmt: skip
    """Its scheduler calls the prior twice at each step but the last one. A picture is given as its embedding."""
    prompts = rows(seeds, WIDTH) if hasattr(pipe, "image_encoder") else list(map(str, seeds))
    with called_back(pipe, callback_on_step_end):
        latents: Tensor = pipe(
            prompts, guidance_scale=3.0 if guided else 1.0, num_inference_steps=steps,
            generator=generators(seeds), output_type="latent",
        ).images  # fmt: skip
    return latents


TINY = {
    "KandinskyV22PriorPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", other_shape={}),
    "KandinskyPriorPipeline": Tiny(make=partial(make_pipeline, KandinskyPriorPipeline), generate=generate,
                                   guidance="batch", other_shape={}),
}  # fmt: skip
