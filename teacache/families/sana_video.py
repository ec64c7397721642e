"""SANA-Video. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm, scale and shift; where a picture is given, tokens differ in time."""
    time = arguments["timestep"]
    shift, scale = (block.scale_shift_table + time.unflatten(-1, (6, -1))).unbind(dim=2)[:2]
    modulated: Tensor = block.norm1(arguments["hidden_states"]) * (1 + scale) + shift
    return modulated


MODELS = (
    Model(
        transformer="SanaVideoTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        rows=RowLayout(shared=("rotary_emb",)),
        guidance="batch",
        pipelines=("SanaVideoPipeline", "SanaImageToVideoPipeline"),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
