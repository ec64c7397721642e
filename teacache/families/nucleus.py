"""Nucleus-Image. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The image tokens after the first block's norm and scale, as the block has them."""
    scale = block.img_mod(arguments["temb"]).unsqueeze(1).chunk(4, dim=-1)[0]
    modulated: Tensor = block.pre_attn_norm(arguments["hidden_states"]) * (1 + scale)
    return modulated


MODELS = (
    Model(
        transformer="NucleusMoEImageTransformer2DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        pipelines=("NucleusMoEImagePipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
