"""Lumina-Next (Lumina-T2X)."""

from __future__ import annotations

from teacache.indicators import norm1
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="LuminaNextDiT2DModel",
        stack=(Blocks(name="layers", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=norm1, shares="norm1")},
        guidance="batch",
        pipelines=("LuminaPipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="Lumina-Next-SFT",
        transformer="LuminaNextDiT2DModel",
        config={"hidden_size": 2304, "num_layers": 24, "num_attention_heads": 32},
        coefficients=(393.76566581, -603.50993606, 209.10239044, -23.00726601, 0.86377344),
        source="ali-vilab/TeaCache, TeaCache4Lumina-T2X/teacache_lumina_next.py",
        num_inference_steps=30,
        resolution="1024x1024",
    ),
)
