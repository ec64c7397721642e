"""Ovis-Image and Bria 3.2, which are built like FLUX.1."""

from __future__ import annotations

from functools import partial

from teacache.indicators import norm1_emb
from teacache.models import Blocks, Indicator, Model, Published

_DOUBLE = ("encoder_hidden_states", "hidden_states")
_like_flux = partial(
    Model,
    stack=(
        Blocks(name="transformer_blocks", returns=_DOUBLE),
        Blocks(name="single_transformer_blocks", returns=_DOUBLE),
    ),
    indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
)

MODELS = (
    _like_flux(transformer="OvisImageTransformer2DModel", pipelines=("OvisImagePipeline",)),
    _like_flux(transformer="BriaTransformer2DModel", guidance="batch", pipelines=("BriaPipeline",)),
)

PUBLISHED: tuple[Published, ...] = ()
