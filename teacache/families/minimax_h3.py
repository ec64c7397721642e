"""MiniMax-H3, which makes videos with sound. No polynomial is published.

Text, given pictures, sound and video are one sequence. Under `AdaptiveConfig` they count together, token by token.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """All tokens after the first block's norm, scale and shift, as the block has them."""
    shift, scale = (
        part.index_select(0, arguments["adaln_indices"]) for part in block.adaln_proj(arguments["temb"])[:2]
    )
    modulated: Tensor = block.norm1(arguments["hidden_states"]) * (1.0 + scale) + shift
    return modulated


def _lowest(arguments: Arguments) -> Tensor:
    """The video's timestep, on the way from 0 to 1. There are as many others as differ from it, which sound's does not
    at the first step, so that their mean goes up and down."""
    distinct: Tensor = arguments["timestep"]
    return distinct.min()


MODELS = (
    Model(
        transformer="MiniMaxH3Transformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        mixed_in=("sound",),
        timestep=_lowest,
        # They are of the layout that all rows share.
        rows=RowLayout(shared=("temb", "adaln_indices", "rotary_emb", "attention_mask")),
        pipelines=("MiniMaxH3ModularPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
