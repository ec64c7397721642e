"""Stable Diffusion 3 and 3.5. No polynomial is published."""

from __future__ import annotations

from teacache.indicators import norm1_emb
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="SD3Transformer2DModel",
        stack=(Blocks(name="transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        guidance="batch",
        pipelines=("StableDiffusion3Pipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
