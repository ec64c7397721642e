"""Stable Audio Open and Stable Audio 3."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """The hidden states, of which the time embedding is the first token, after the first norm (vllm-omni)."""
    normed: Tensor = block.norm1(arguments["hidden_states"])
    return normed


def _pre_norm(block: Any, arguments: Arguments) -> Tensor:
    """The hidden states after the first norm, scale and shift, as the block of Stable Audio 3 has them."""
    modulation = block.to_scale_shift_gate + arguments["global_modulation"]
    scale, shift = modulation.unsqueeze(1).chunk(6, dim=-1)[:2]
    modulated: Tensor = block.pre_norm(arguments["hidden_states"]) * (1 + scale) + shift
    return modulated


MODELS = (
    Model(
        transformer="StableAudioDiTModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_norm1)},
        rows=RowLayout(shared=("rotary_embedding",)),
        guidance="batch",
        pipelines=("StableAudioPipeline",),
    ),
    Model(
        transformer="StableAudio3DiTModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_pre_norm)},
        rows=RowLayout(shared=("rope",)),
        guidance="batch",
        pipelines=("StableAudio3Pipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="stable-audio-open-1.0",
        transformer="StableAudioDiTModel",
        config={"num_layers": 24, "num_attention_heads": 24, "sample_size": 1024},
        coefficients=(121.77490545701518, -153.7449426160371, 68.05368574596551, -12.281286412689623,
                      1.0733905006198015),
        source="vllm-omni, diffusion/cache/teacache/config.py",
    ),
)  # fmt: skip
