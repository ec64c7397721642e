"""Kandinsky 5. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The visual tokens after the first block's norm, shift and scale, as the block has them."""
    visual: Tensor = arguments["visual_embed"]
    modulation = block.visual_modulation(arguments["time_embed"]).unsqueeze(1).float()
    shift, scale = modulation.chunk(9, dim=-1)[:2]
    modulated: Tensor = block.self_attention_norm(visual.float()) * (scale + 1.0) + shift
    return modulated


MODELS = (
    Model(
        transformer="Kandinsky5Transformer3DModel",
        stack=(Blocks(name="visual_transformer_blocks", returns=("visual_embed",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        hidden_states="visual_embed",
        shared=("sparse_params",),
        pipelines=("Kandinsky5T2VPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
