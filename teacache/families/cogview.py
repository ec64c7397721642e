"""CogView3-Plus and CogView4."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _norm1(embedding: str) -> Indicator:
    """The first block's norm, which takes image and text tokens."""

    def modulated(block: Any, arguments: Arguments) -> Tensor:
        image: Tensor = block.norm1(
            arguments["hidden_states"], arguments["encoder_hidden_states"], arguments[embedding]
        )[0]
        return image

    return Indicator(of_block=modulated)


_BLOCKS = Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states"))

MODELS = (
    Model(
        transformer="CogView3PlusTransformer2DModel",
        stack=(_BLOCKS,),
        indicators={"modulated_input": _norm1("emb")},
        guidance="batch",
        pipelines=("CogView3PlusPipeline",),
    ),
    Model(
        transformer="CogView4Transformer2DModel",
        stack=(_BLOCKS,),
        indicators={"modulated_input": _norm1("temb")},
        pipelines=("CogView4Pipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
