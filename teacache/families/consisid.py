"""ConsisID."""

from __future__ import annotations

from teacache.indicators import temb
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="ConsisIDTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"temb": Indicator(of_block=temb)},
        idle=("perceiver_cross_attention",),
        guidance="batch",
        pipelines=("ConsisIDPipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="ConsisID-preview",
        transformer="ConsisIDTransformer3DModel",
        config={"num_layers": 42, "num_attention_heads": 48},
        coefficients=(-1.53880483e03, 8.43202495e02, -1.34363087e02, 7.97131516e00, -5.23162339e-02),
        source="ali-vilab/TeaCache, TeaCache4ConsisID",
        num_inference_steps=50,
        resolution="480x720, 49 frames",
        borrowed_from="CogVideoX-5b",
    ),
)
