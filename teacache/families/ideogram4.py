"""Ideogram 4, whose pipeline has a denoiser for each of two guidance branches. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """Text and image tokens after the first block's norm and scale, as the block has them."""
    scale = block.adaln_modulation(arguments["adaln_input"]).chunk(4, dim=-1)[0]
    modulated: Tensor = block.attention_norm1(arguments["hidden_states"]) * (1.0 + scale)
    return modulated


MODELS = (
    Model(
        transformer="Ideogram4Transformer2DModel",
        stack=(Blocks(name="layers", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        rows=RowLayout(shared=()),  # positions come row by row, as prompts differ in length
        pipelines=("Ideogram4Pipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
