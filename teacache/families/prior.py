"""The priors of Kandinsky 2, whose pictures' embeddings they make, and Shap-E, a prior that makes things in space."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _normed(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm; one of them is the embedded timestep, nothing is modulated."""
    normed: Tensor = block.norm1(arguments["hidden_states"])
    return normed


MODELS = (
    Model(
        transformer="PriorTransformer",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"normed_input": Indicator(of_block=_normed)},
        rows=RowLayout(together=("attention_mask",)),  # one for every head
        guidance="batch",
        pipelines=("KandinskyV22PriorPipeline", "KandinskyPriorPipeline"),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
