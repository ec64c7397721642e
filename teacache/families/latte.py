"""Latte, whose blocks look at frames and at places of the picture in turn."""

from __future__ import annotations

from teacache.indicators import shift_and_scale
from teacache.models import Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout

MODELS = (
    Model(
        transformer="LatteTransformer3DModel",
        stack=(
            Blocks(name="transformer_blocks", returns=("hidden_states",)),
            Blocks(name="temporal_transformer_blocks", returns=("hidden_states",)),
        ),
        indicators={"modulated_input": Indicator(of_block=shift_and_scale("timestep"))},
        # A row for every frame, of all its places; in the second list one for every place, of all frames.
        rows=RowLayout(together=("hidden_states", "encoder_hidden_states", "encoder_attention_mask", "timestep")),
        exit="norm_out",
        guidance="batch",
        pipelines=("LattePipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="Latte-1",
        transformer="LatteTransformer3DModel",
        config={"num_layers": 28, "num_attention_heads": 16, "attention_head_dim": 72},
        coefficients=(-2.46434137e03, 3.08044764e02, 8.07447667e01, -4.11385132e00, 1.11001402e-01),
        source="ali-vilab/TeaCache, eval/teacache/experiments/latte.py",
        num_inference_steps=50,
        resolution="512x512, 16 frames",
    ),
)
