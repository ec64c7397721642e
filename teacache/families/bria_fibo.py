"""Bria Fibo. No polynomial is published."""

from __future__ import annotations

from teacache.indicators import norm1_emb
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="BriaFiboTransformer2DModel",
        # Before each block half of the text is replaced by another layer of the text encoder; before single blocks the
        # text is put in front of the image, and taken off again after them.
        stack=(
            Blocks(name="transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),
            Blocks(name="single_transformer_blocks", returns=("hidden_states",)),
        ),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        tokens="last",
        guidance="batch",
        pipelines=("BriaFiboPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
