"""MiniMax Music 3, which makes a song window by window, each in a run of its own. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _normed(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm; the first of them is the embedded timestep, nothing is modulated."""
    normed: Tensor = block.norm1(arguments["hidden_states"])
    return normed


MODELS = (
    Model(
        transformer="MiniMaxMusic3Transformer1DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"normed_input": Indicator(of_block=_normed)},
        rows=RowLayout(shared=("rotary_emb",)),
        pipelines=("MiniMaxMusic3ModularPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
