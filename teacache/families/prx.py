"""PRX. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The image tokens after the first block's norm, scale and shift, as the block has them."""
    shift, scale, _ = block.modulation(arguments["temb"])[0]
    modulated: Tensor = (1 + scale) * block.img_pre_norm(arguments["hidden_states"]) + shift
    return modulated


MODELS = (
    Model(
        transformer="PRXTransformer2DModel",
        stack=(Blocks(name="blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        guidance="batch",
        pipelines=("PRXPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
