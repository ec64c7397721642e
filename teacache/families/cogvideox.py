"""CogVideoX."""

from __future__ import annotations

from teacache.indicators import temb
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="CogVideoXTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"temb": Indicator(of_block=temb)},
        guidance="batch",
        pipelines=("CogVideoXPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
