"""AnyFlow, and AnyFlow FAR, which makes videos chunk by chunk, each in a run of its own. No polynomial is published."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm, scale and shift; tokens differ in time where frames are given."""
    shift, scale = (block.scale_shift_table[None] + arguments["temb"].float()).unbind(dim=2)[:2]
    modulated: Tensor = block.norm1(arguments["hidden_states"].float()) * (1 + scale) + shift
    return modulated


def _keeps_chunk(arguments: Arguments) -> bool:
    """A chunk that is done goes through the blocks once, which keep its keys and values for those that follow."""
    flags = arguments.get("kv_cache_flag")
    return flags is not None and flags["is_cache_step"]


_SHARED = ("rotary_emb", "attention_mask")

_anyflow = partial(
    Model,
    stack=(Blocks(name="blocks", returns=("hidden_states",)),),
    indicators={"modulated_input": Indicator(of_block=_modulated)},
    rows=RowLayout(shared=_SHARED),
    guidance="batch",
)

MODELS = (
    _anyflow(transformer="AnyFlowTransformer3DModel", pipelines=("AnyFlowPipeline",)),
    _anyflow(
        transformer="AnyFlowFARTransformer3DModel",
        rows=RowLayout(shared=_SHARED, second=("kv_cache",)),  # keys first, then values
        apart=_keeps_chunk,
        pipelines=("AnyFlowFARPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
