"""Bria Fibo and Fibo 2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import (
    BriaFibo2Pipeline,
    BriaFibo2Transformer2DModel,
    BriaFiboPipeline,
    BriaFiboTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def encode_prompt(transformer: Any, prompt: Sequence[str], negative_prompt: Sequence[str], **_: Any) -> tuple[Any, ...]:
    """The pipelines take no embeddings; the numbers in prompts are the seeds of theirs, which differ in length, and
    have four layers."""
    dtype = transformer.dtype
    both = [[int("".join(filter(str.isdigit, text))) for text in texts] for texts in (prompt, negative_prompt)]
    embeds = [rows(seeds, TEXT_TOKENS, 12, dtype=dtype) for seeds in both]
    masks = [torch.stack([(torch.arange(TEXT_TOKENS) < TEXT_TOKENS - seed % 3).to(dtype) for seed in seeds])
             for seeds in both]  # fmt: skip
    layers = [list(rows(seeds, 4, TEXT_TOKENS, 6, dtype=dtype).unbind(1)) for seeds in both]
    return *embeds, torch.zeros(len(prompt), TEXT_TOKENS, 3, dtype=dtype), *masks, *layers


def make_fibo() -> BriaFiboPipeline:
    torch.manual_seed(0)
    transformer = BriaFiboTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=12, text_encoder_dim=6, axes_dims_rope=[4, 2, 2],
    )  # fmt: skip
    pipe = BriaFiboPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=None,
        text_encoder=None, tokenizer=None,
    )  # fmt: skip

    pipe.encode_prompt = partial(encode_prompt, transformer)
    return quiet(pipe)


def make_fibo_2() -> BriaFibo2Pipeline:
    torch.manual_seed(0)
    transformer = BriaFibo2Transformer2DModel(
        in_channels=4, dim=24, n_layers=3, n_refiner_layers=1, n_heads=2, cap_feat_dim=12, injection_layer_ids=(1,),
        perceiver_num_layers=1, min_num_gist_tokens=2, max_num_gist_tokens=4, gist_step=1, gist_min_text_len=2,
        gist_max_text_len=6, axes_dims=(4, 4, 4), axes_lens=(16, 16, 16),
    )  # fmt: skip
    torch.nn.init.ones_(transformer.layers[1].cross_attn_gate)  # it starts at zero
    return quiet(BriaFibo2Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=None,
        text_encoder=None, processor=None,
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    latents: Tensor = pipe(
        guidance_scale=5.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"height": 64, "width": 64, **arguments},
    ).images  # fmt: skip
    return latents


def generate_from_text(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    return generate(
        pipe, seeds=seeds, prompt=[str(seed) for seed in seeds],
        negative_prompt=[str(seed) for seed in negatives(seeds)], **arguments,
    )  # fmt: skip


def generate_from_embeddings(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    """Two bundles of features each: of the perceiver and of the block that looks at the text again."""
    embeds, negative = (rows(each, 2, TEXT_TOKENS, 12, dtype=pipe.transformer.dtype)
                        for each in (seeds, negatives(seeds)))  # fmt: skip
    return generate(pipe, seeds=seeds, prompt_embeds=embeds, negative_prompt_embeds=negative, **arguments)


TINY = {
    "BriaFiboPipeline": Tiny(make=make_fibo, generate=generate_from_text, guidance="batch", tolerance=0.1),
    "BriaFibo2Pipeline": Tiny(
        make=make_fibo_2, generate=generate_from_embeddings, guidance="calls", threshold=0.35, tolerance=0.6
    ),
}
