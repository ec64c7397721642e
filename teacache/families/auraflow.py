"""AuraFlow."""

from __future__ import annotations

from teacache.indicators import norm1_emb
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="AuraFlowTransformer2DModel",
        stack=(
            Blocks(name="joint_transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),
            Blocks(name="single_transformer_blocks", returns=("hidden_states",)),
        ),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        tokens="last",
        guidance="batch",
        pipelines=("AuraFlowPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
