"""Krea 2. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """Text and image tokens after the first block's norm, scale and shift, as the block has them."""
    modulation = arguments["temb"].unflatten(-1, (6, -1)) + block.scale_shift_table
    scale, shift = modulation.unbind(-2)[:2]
    modulated: Tensor = (1.0 + scale) * block.norm1(arguments["hidden_states"]) + shift
    return modulated


MODELS = (
    Model(
        transformer="Krea2Transformer2DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        pipelines=("Krea2Pipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
