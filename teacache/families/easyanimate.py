"""EasyAnimate 5.1."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """The first block's norm, which takes video and text tokens."""
    video: Tensor = block.norm1(arguments["hidden_states"], arguments["encoder_hidden_states"], arguments["temb"])[0]
    return video


MODELS = (
    Model(
        transformer="EasyAnimateTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"modulated_input": Indicator(of_block=_norm1)},
        guidance="batch",
        pipelines=("EasyAnimatePipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
