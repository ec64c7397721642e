"""ACE-Step 1.5. No polynomial is published.

Its guidance has a momentum, which the pipeline keeps: under a measured schedule it sees the last answers again at
skipped steps.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The audio tokens after the first block's norm, scale and shift, as the block has them."""
    shift, scale = (block.scale_shift_table + arguments["temb"]).chunk(6, dim=1)[:2]
    modulated: Tensor = block.self_attn_norm(arguments["hidden_states"]) * (1 + scale) + shift
    return modulated


MODELS = (
    Model(
        transformer="AceStepTransformer1DModel",
        stack=(Blocks(name="layers", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        rows=RowLayout(shared=("position_embeddings", "attention_mask")),  # the mask is the sliding window
        guidance="batch",
        pipelines=("AceStepPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
