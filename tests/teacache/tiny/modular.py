"""Modular pipelines of models that have others as well: the steps from embeddings to latents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
from diffusers.modular_pipelines.flux.modular_blocks_flux import FluxCoreDenoiseStep
from diffusers.modular_pipelines.qwenimage.modular_blocks_qwenimage import QwenImageCoreDenoiseStep
from diffusers.modular_pipelines.wan.modular_blocks_wan import WanCoreDenoiseStep
from diffusers.modular_pipelines.wan.modular_blocks_wan22 import Wan22CoreDenoiseStep
from torch import Tensor

from tests.teacache.tiny import flux, qwenimage, wan
from tests.teacache.tiny.base import Tiny, generators, negatives, of_blocks, rows
from tests.teacache.tiny.steps import called_back

SIZE = {"height": 64, "width": 64}


def make_flux() -> Any:
    return of_blocks(
        FluxCoreDenoiseStep(), transformer=flux.make_transformer(), scheduler=FlowMatchEulerDiscreteScheduler()
    )


def make_qwenimage() -> Any:
    return of_blocks(
        QwenImageCoreDenoiseStep(), transformer=qwenimage.make_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip


def make_wan() -> Any:
    return of_blocks(
        WanCoreDenoiseStep(), transformer=wan.make_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def make_two_denoisers() -> Any:
    """Wan 2.2."""
    torch.manual_seed(1)
    return of_blocks(
        Wan22CoreDenoiseStep(), transformer=wan.make_transformer(),
        transformer_2=WanTransformer3DModel(**{**wan.CONFIG, "num_layers": 2}),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def original(guider: Any) -> bool:
    """Whether a guidance scale of 0 is none: as the paper has it, in the place of diffusers' 1."""
    return bool(getattr(guider, "use_original_formulation", False))


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             callback_on_step_end: Any = None, output: Any = "latents", **arguments: Any) -> Any:  # fmt: skip
    """What modular pipelines take alike; where one has guiders, they guide. Arguments that it does not know are left
    out, as negative prompts without guidance."""
    for guider in (pipe.components.get(name) for name in ("guider", "guider_2")):
        if guider is not None:
            guider.guidance_scale = 4.0 if guided else 0.0 if original(guider) else 1.0
            guider.enable()  # Z-Image's is made without
    given = {
        "num_inference_steps": steps,
        "guidance_scale": 4.0 if guided else 1.0,
        "generator": generators(seeds),
        **arguments,
    }
    known = {name for one in pipe.blocks.inputs for name in (one.name, one.kwargs_type)}
    with called_back(pipe, callback_on_step_end):
        return pipe(output=output, **{name: value for name, value in given.items() if name in known})


def generate_flux(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    tokens, pooled = flux.embeddings(seeds, pipe.transformer.dtype)
    prompts: dict[str, Any] = {"prompt_embeds": tokens, "pooled_prompt_embeds": pooled}
    latents: Tensor = generate(pipe, seeds=seeds, **prompts, **{**SIZE, **arguments})
    return latents


def generate_qwenimage(pipe: Any, *, seeds: Sequence[int] = (0,), guided: bool = False, **arguments: Any) -> Tensor:
    dtype = pipe.transformer.dtype
    prompts: dict[str, Any] = qwenimage.captions(seeds, dtype)
    if guided:
        prompts |= qwenimage.captions(negatives(seeds), dtype, "negative_")
    latents: Tensor = generate(pipe, seeds=seeds, guided=guided, **prompts, **{**SIZE, **arguments})
    return latents


def generate_wan(pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    """Its blocks want to be given a negative prompt in any case."""
    dtype = pipe.transformer.dtype
    prompts: dict[str, Any] = {
        "prompt_embeds": rows(seeds, wan.TEXT_TOKENS, 12, dtype=dtype),
        "negative_prompt_embeds": rows(negatives(seeds), wan.TEXT_TOKENS, 12, dtype=dtype),
    }
    size = {"height": 32, "width": 32, "num_frames": 5}
    latents: Tensor = generate(pipe, seeds=seeds, **prompts, **{**size, **arguments})
    return latents


_guided = partial(Tiny, guidance="calls")

TINY = {
    "FluxModularPipeline": Tiny(make=make_flux, generate=generate_flux),
    "QwenImageModularPipeline": _guided(make=make_qwenimage, generate=generate_qwenimage),
    "WanModularPipeline": _guided(make=make_wan, generate=generate_wan, threshold=1.0, other_shape={"height": 48}),
}
