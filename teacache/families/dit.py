"""DiT, which paints classes of ImageNet. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """The tokens after the first block's adaptive norm, which embeds timestep and class itself."""
    tokens = arguments["hidden_states"]
    modulated: Tensor = block.norm1(
        tokens, arguments["timestep"], arguments["class_labels"], hidden_dtype=tokens.dtype
    )[0]
    return modulated


MODELS = (
    Model(
        transformer="DiTTransformer2DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_norm1, shares="norm1")},
        guidance="batch",
        pipelines=("DiTPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
