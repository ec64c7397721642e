"""FLUX.3. No polynomial is published.

Image tokens, those of given pictures and text each go through blocks of their own, and then through joint ones. The
stack begins with the image's: those of the text come before it and are computed at every step, where the transformer
runs at all.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The image tokens after the norm, scale and shift of their first block, as that has them."""
    shift, scale = arguments["temb_mod"].chunk(3, dim=-1)[:2]
    modulated: Tensor = (1 + scale) * block.norm(arguments["hidden_states"]) + shift
    return modulated


MODELS = (
    Model(
        transformer="Flux3Transformer2DModel",
        stack=(
            Blocks(name="mode_blocks.image", returns=("hidden_states",)),
            Blocks(name="mode_blocks.image_cond", returns=("hidden_states",)),
            Blocks(name="single_transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),
        ),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        tokens="first",  # given pictures join behind the image
        pipelines=("Flux3ModularPipeline", "Flux3DistilledModularPipeline"),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
