"""Wan-Animate-2, of which diffusers has a modular pipeline only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanAnimate2Transformer3DModel
from diffusers.models.transformers import transformer_wan_animate_2
from diffusers.modular_pipelines.wan_animate_2.modular_blocks_wan_animate_2 import WanAnimate2CoreDenoiseStep
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from tests.teacache.tiny import modular
from tests.teacache.tiny.base import Tiny, generators, negatives, of_blocks, rows
from tests.teacache.tiny.kandinsky_6 import warned_once
from tests.teacache.tiny.wan import make_vae

SEGMENT = 5
"""Frames."""
TEXT_TOKENS = 5


def create_mask(*args: Any, **arguments: Any) -> Any:
    """As torch does, but not compiled for each shape and transformer, which takes twenty seconds."""
    return create_block_mask(*args, **{**arguments, "_compile": False})


transformer_wan_animate_2.create_block_mask = create_mask


def make_transformer(num_layers: int) -> WanAnimate2Transformer3DModel:
    warned_once()
    torch.manual_seed(0)
    return WanAnimate2Transformer3DModel(
        text_len=TEXT_TOKENS, in_dim=36, dim=24, ffn_dim=32, freq_dim=16, text_dim=12, out_dim=16, num_heads=2,
        num_layers=num_layers,
    )  # fmt: skip


def make_pipeline(num_layers: int = 3) -> Any:
    return of_blocks(
        WanAnimate2CoreDenoiseStep(), transformer=make_transformer(num_layers), vae=make_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), segments: int = 1, height: int = 32, width: int = 32,
             **arguments: Any) -> Tensor:  # fmt: skip
    """The frames of the last segment; segments share a frame. What is given are the encoders' answers."""
    dtype = pipe.transformer.dtype
    frames = 1 + segments * (SEGMENT - 1)
    given: dict[str, Any] = {
        "reference_image_latents": rows((1,), 20, 1, height // 8, width // 8)[0],
        "driving_video_pixels": rows((2,), 3, frames, height, width, dtype=dtype).clamp(-1, 1),
        "condition_clip_context": rows((3,), 4, 1280, dtype=dtype),
        "prompt_ref_embeds": rows((4,), TEXT_TOKENS, 12, dtype=dtype),
        "denoiser_input_fields": {"encoder_hidden_states_image": rows((5,), 4, 1280, dtype=dtype)},
    }
    made: list[Tensor] = modular.generate(
        pipe, generator=generators(seeds)[0], output="segment_frames", num_segments=segments,
        segment_frame_length=SEGMENT, effective_segment=SEGMENT - 1, height=height, width=width,
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=dtype),
        negative_prompt_embeds=rows(negatives(seeds), TEXT_TOKENS, 12, dtype=dtype), **given, **arguments,
    )  # fmt: skip
    return made[-1]


TINY = {
    "WanAnimate2ModularPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", batched=False,
                                       other_shape={"height": 48}),
}  # fmt: skip
