"""AnyFlow. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm, scale and shift; tokens differ in time where frames are given."""
    shift, scale = (block.scale_shift_table[None] + arguments["temb"].float()).unbind(dim=2)[:2]
    modulated: Tensor = block.norm1(arguments["hidden_states"].float()) * (1 + scale) + shift
    return modulated


MODELS = (
    Model(
        transformer="AnyFlowTransformer3DModel",
        stack=(Blocks(name="blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        shared=("rotary_emb",),
        guidance="batch",
        pipelines=("AnyFlowPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
