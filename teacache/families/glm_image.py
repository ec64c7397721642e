"""GLM-Image. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """The image tokens after the first block's adaptive norm."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], arguments["encoder_hidden_states"], arguments["temb"])[
        0
    ]
    return modulated


def _keeps_given_picture(arguments: Arguments) -> bool:
    """Before the run each picture that is given goes through the blocks once, which keep its keys and values."""
    caches = arguments.get("kv_caches")
    return caches is not None and caches[0].mode == "write"


MODELS = (
    Model(
        transformer="GlmImageTransformer2DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"modulated_input": Indicator(of_block=_norm1, shares="norm1")},
        apart=_keeps_given_picture,
        pipelines=("GlmImagePipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
