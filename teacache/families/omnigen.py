"""OmniGen. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _normed(block: Any, arguments: Arguments) -> Tensor:
    """All tokens, of which one is the time's, after the first block's norm, which is not modulated."""
    normed: Tensor = block.input_layernorm(arguments["hidden_states"])
    return normed


MODELS = (
    Model(
        transformer="OmniGenTransformer2DModel",
        stack=(Blocks(name="layers", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_normed)},
        guidance="batch",
        pipelines=("OmniGenPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
