"""Chroma."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """As in FLUX.1; the first six rows of the embedding are those of the image tokens."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], emb=arguments["temb"][:, :6])[0]
    return modulated


MODELS = (
    Model(
        transformer="ChromaTransformer2DModel",
        stack=(
            Blocks(name="transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),
            Blocks(name="single_transformer_blocks", returns=("hidden_states",)),
        ),
        indicators={"modulated_input": Indicator(of_block=_norm1)},
        tokens="last",
        pipelines=("ChromaPipeline", "ChromaImg2ImgPipeline"),
    ),
)

PUBLISHED = (
    Published(
        name="Chroma",
        transformer="ChromaTransformer2DModel",
        config={"num_layers": 19, "num_single_layers": 38},
        coefficients=(4.98651651e02, -2.83781631e02, 5.58554382e01, -3.82021401e00, 2.64230861e-01),
        source="vladmandic/sdnext, modules/teacache",
        borrowed_from="FLUX.1-dev",
    ),
)
