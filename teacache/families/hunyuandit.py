"""Hunyuan-DiT. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's norm and shift."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], arguments["temb"])
    return modulated


MODELS = (
    Model(
        transformer="HunyuanDiT2DModel",
        # Blocks of the second half take in what those of the first gave, row by row.
        stack=(Blocks(name="blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_norm1, shares="norm1")},
        guidance="batch",
        pipelines=("HunyuanDiTPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
