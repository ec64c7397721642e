"""LongCat-Image."""

from __future__ import annotations

from teacache.indicators import norm1_emb
from teacache.models import Blocks, Indicator, Model, Published

_DOUBLE = ("encoder_hidden_states", "hidden_states")

MODELS = (
    Model(
        transformer="LongCatImageTransformer2DModel",
        stack=(
            Blocks(name="transformer_blocks", returns=_DOUBLE),
            Blocks(name="single_transformer_blocks", returns=_DOUBLE),
        ),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        pipelines=("LongCatImagePipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="LongCat-Image",
        transformer="LongCatImageTransformer2DModel",
        config={"in_channels": 64, "num_attention_heads": 24},
        pipeline="LongCatImagePipeline",  # LongCat-Image-Edit has the same config
        coefficients=(652.5980, -424.1615, 84.5526, -4.5923, 0.1694),
        source="vllm-omni, diffusion/cache/teacache/config.py (its pull request 1487)",
    ),
)
