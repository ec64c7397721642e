"""Wan-Animate-2, which makes a video segment by segment, each in a run of its own. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm, scale and shift, as the block has them."""
    shift, scale = (block.modulation + arguments["temb"]).chunk(6, dim=1)[:2]
    modulated: Tensor = block.norm1(arguments["hidden_states"].float()) * (1 + scale) + shift
    return modulated


def _keeps_driving_video(arguments: Arguments) -> bool:
    """Before each run the driving video goes through the blocks once, which keep its keys and values."""
    return bool(arguments["kv_cache_mode"] == "extract")


def _unguided_without_last_block(transformer: Any) -> str:
    """No published checkpoint is."""
    layers = transformer.config.num_layers
    return "its unconditional branch leaves out block 9, which is its last one" if layers == 10 else ""


MODELS = (
    Model(
        transformer="WanAnimate2Transformer3DModel",
        stack=(Blocks(name="blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        rows=RowLayout(shared=("rotary_emb", "reference_rotary_emb", "attention_mask")),
        apart=_keeps_driving_video,
        refuses=_unguided_without_last_block,
        pipelines=("WanAnimate2ModularPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
