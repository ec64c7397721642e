"""PixArt, and Sana and Allegro, whose blocks are modulated in the same way."""

from __future__ import annotations

from functools import partial

from teacache.indicators import shift_and_scale
from teacache.models import Blocks, Indicator, Model, Published

_pixart = partial(Model, stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),), guidance="batch")
_BY_TIMESTEP = {"modulated_input": Indicator(of_block=shift_and_scale("timestep"))}

MODELS = (
    _pixart(transformer="PixArtTransformer2DModel", indicators=_BY_TIMESTEP, pipelines=("PixArtSigmaPipeline",)),
    _pixart(transformer="SanaTransformer2DModel", indicators=_BY_TIMESTEP, pipelines=("SanaPipeline",)),
    _pixart(
        transformer="AllegroTransformer3DModel",
        indicators={"modulated_input": Indicator(of_block=shift_and_scale("temb"))},
        pipelines=("AllegroPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
