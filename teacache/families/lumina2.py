"""Lumina-Image 2.0."""

from __future__ import annotations

from teacache.indicators import norm1, temb
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="Lumina2Transformer2DModel",
        stack=(Blocks(name="layers", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=norm1), "temb": Indicator(of_block=temb)},
        mask="attention_mask",
        shared=(),
        pipelines=("Lumina2Pipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
