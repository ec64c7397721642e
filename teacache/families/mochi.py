"""Mochi."""

from __future__ import annotations

from teacache.indicators import norm1
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="MochiTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"modulated_input": Indicator(of_block=norm1, shares="norm1")},
        published_exit="proj_out",
        guidance="batch",
        pipelines=("MochiPipeline",),
    ),
)  # fmt: skip

PUBLISHED = (
    Published(
        name="mochi-1-preview",
        transformer="MochiTransformer3DModel",
        config={"num_layers": 48, "num_attention_heads": 24},
        coefficients=(-3.51241319e03, 8.11675948e02, -6.09400215e01, 2.42429681e00, 3.05291719e-03),
        source="ali-vilab/TeaCache, TeaCache4Mochi",
        num_inference_steps=64,
        resolution="480x848, 163 frames",
    ),
)
