"""Helios, which makes videos chunk by chunk, each in a run of its own. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The tokens of the chunk after the first block's norm, scale and shift; those before them, its history, stand."""
    chunk = slice(-arguments["original_context_length"], None)
    shift, scale = (block.scale_shift_table[None] + arguments["temb"][:, chunk].float()).unbind(dim=2)[:2]
    modulated: Tensor = block.norm1(arguments["hidden_states"][:, chunk].float()) * (1 + scale) + shift
    return modulated


MODELS = (
    Model(
        transformer="HeliosTransformer3DModel",
        stack=(Blocks(name="blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        rows=RowLayout(shared=()),
        pipelines=("HeliosPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
