"""SANA-WM, whose videos follow a camera. No polynomial is published.

Frames that a `frame_valid_mask` leaves out count in decisions like the others; no pipeline has one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm, scale and shift, frame by frame: that of the given picture is clean."""
    tokens: Tensor = arguments["x"]
    time = arguments["t"].squeeze(1).unflatten(-1, (6, -1))
    shift, scale = (block.scale_shift_table + time)[:, :, :2].chunk(2, dim=2)
    modulated: Tensor = block.norm1(tokens).unflatten(1, (time.shape[1], -1)) * (1 + scale) + shift
    return modulated


MODELS = (
    Model(
        transformer="SanaWMTransformer3DModel",
        stack=(Blocks(name="blocks", returns=("x",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        hidden_states="x",
        rows=RowLayout(shared=("rotary_emb",)),
        guidance="batch",
        pipelines=("SanaWMPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
