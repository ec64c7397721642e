"""Motif-Video. No polynomial is published."""

from __future__ import annotations

from teacache.indicators import norm1_emb
from teacache.models import Blocks, Indicator, Model, Published

_BOTH = ("hidden_states", "encoder_hidden_states")

MODELS = (
    Model(
        transformer="MotifVideoTransformer3DModel",
        # The last single blocks, its decoder, start anew from the tokens that the first block takes in, and read what
        # the blocks before have made of them in the place of the text: the stack's output minus its input is theirs.
        stack=(
            Blocks(name="transformer_blocks", returns=_BOTH),
            Blocks(name="single_transformer_blocks", returns=_BOTH),
        ),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        pipelines=("MotifVideoPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
