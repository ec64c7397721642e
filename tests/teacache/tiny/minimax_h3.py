"""MiniMax-H3, of which diffusers has a modular pipeline only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import MiniMaxH3Scheduler, MiniMaxH3Transformer3DModel
from diffusers.modular_pipelines.minimax_h3.modular_blocks_minimax_h3 import MiniMaxH3CoreDenoiseStep
from torch import Tensor

from tests.teacache.tiny import modular
from tests.teacache.tiny.base import Tiny, generators, of_blocks, rows

TEXT_TOKENS = 5


def make_transformer() -> MiniMaxH3Transformer3DModel:
    torch.manual_seed(0)
    return MiniMaxH3Transformer3DModel(
        num_attention_heads=2, attention_head_dim=8, hidden_size=16, num_layers=3, num_refiner_layers=1, ffn_dim=32,
        in_channels=24, audio_in_channels=32, text_dim=12, freq_dim=16, time_embed_hidden_dim=16, time_embed_dim=8,
        rope_freq_dim=1,
    )  # fmt: skip


def make_pipeline(blocks: Any = None, **denoisers: Any) -> Any:
    return of_blocks(
        blocks or MiniMaxH3CoreDenoiseStep(), scheduler=MiniMaxH3Scheduler(shift=12.0),
        audio_scheduler=MiniMaxH3Scheduler(shift=3.0), **(denoisers or {"transformer": make_transformer()}),
    )  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, **arguments: Any) -> Tensor:
    """Latents of the video and then those of the sound. It counts the end of the last step as one."""
    made = modular.generate(
        pipe, steps=steps + 1, generator=generators(seeds)[0], output=["latents", "audio_latents"],
        prompt_embeds=rows(seeds, TEXT_TOKENS, 12, dtype=pipe.dtype),
        text_token_tags=torch.ones(TEXT_TOKENS, dtype=torch.long), **{"height": 32, "width": 32, **arguments},
    )  # fmt: skip
    return torch.cat([made[name].flatten()[None] for name in ("latents", "audio_latents")], dim=1)


TINY = {
    "MiniMaxH3ModularPipeline": Tiny(make=make_pipeline, generate=generate, batched=False,
                                     other_shape={"height": 64}),
}  # fmt: skip
