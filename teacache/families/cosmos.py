"""Cosmos 1.0, Predict2 and Predict2.5."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """Before the block adds its `extra_pos_emb` (TeaCache4Cosmos/general_dit.py)."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], arguments["embedded_timestep"], arguments["temb"])[0]
    return modulated


MODELS = (
    Model(
        transformer="CosmosTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_norm1)},
        pipelines=("CosmosTextToWorldPipeline", "Cosmos2TextToImagePipeline"),
    ),
)

PUBLISHED = (
    Published(
        name="Cosmos-1.0-Diffusion",
        transformer="CosmosTransformer3DModel",
        config={"extra_pos_embed_type": "learnable", "adaln_lora_dim": 256},  # Predict2 has no such embedding
        coefficients=(2.71156237e02, -9.19775607e01, 2.24437250e00, 2.08355751e00, 1.41776330e-01),
        source="ali-vilab/TeaCache, TeaCache4Cosmos",
    ),
)
