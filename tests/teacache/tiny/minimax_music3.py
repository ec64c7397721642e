"""MiniMax Music 3, of which diffusers has a modular pipeline only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    MiniMaxMusic3ConditionEncoder,
    MiniMaxMusic3Transformer1DModel,
)
from diffusers.modular_pipelines.minimax_music3.modular_blocks_minimax_music3 import MiniMaxMusic3CoreDenoiseStep
from torch import Tensor

from tests.teacache.tiny import modular
from tests.teacache.tiny.base import Tiny, generators, of_blocks, rows


def make_pipeline() -> Any:
    torch.manual_seed(0)
    transformer = MiniMaxMusic3Transformer1DModel(
        in_channels=4, condition_dim=8, num_layers=3, num_attention_heads=2, attention_head_dim=8, ff_inner_dim=32,
        rotary_dim=4, fourier_embedding_dim=8,
    )  # fmt: skip
    condition_encoder = MiniMaxMusic3ConditionEncoder(condition_hidden_dim=6, num_condition_layers=2, out_dim=8)
    # The transformer's time goes from 0, noise, to 1.
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, invert_sigmas=True)
    return of_blocks(
        MiniMaxMusic3CoreDenoiseStep(), transformer=transformer, condition_encoder=condition_encoder,
        scheduler=scheduler,
    )  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), frames: int = 6, **arguments: Any) -> Tensor:
    """Latents of the last window; the frames are what the language model would give."""
    hiddens = rows(seeds, frames, 12, dtype=pipe.transformer.dtype)
    (generator,) = generators(seeds)
    windows: list[Tensor] = modular.generate(
        pipe, frame_hiddens=hiddens, generator=generator, output="latent_chunks", **arguments
    )
    return windows[-1]


TINY = {
    "MiniMaxMusic3ModularPipeline": Tiny(
        make=make_pipeline, generate=generate, guidance="calls", batched=False, other_shape={"frames": 8},
    ),
}  # fmt: skip
