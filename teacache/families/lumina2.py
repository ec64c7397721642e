"""Lumina-Image 2.0."""

from __future__ import annotations

from teacache.indicators import norm1, temb
from teacache.models import Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout

MODELS = (
    Model(
        transformer="Lumina2Transformer2DModel",
        stack=(Blocks(name="layers", returns=("hidden_states",)),),
        indicators={
            "modulated_input": Indicator(of_block=norm1, shares="norm1"),
            "temb": Indicator(of_block=temb),
        },
        mask="attention_mask",
        rows=RowLayout(shared=()),
        pipelines=("Lumina2Pipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="Lumina-Image-2.0",
        transformer="Lumina2Transformer2DModel",
        config={"hidden_size": 2304, "num_layers": 26, "num_attention_heads": 24},
        coefficients=(393.76566581, -603.50993606, 209.10239044, -23.00726601, 0.86377344),
        source="ali-vilab/TeaCache, TeaCache4Lumina2/teacache_lumina2.py",
        num_inference_steps=50,
        borrowed_from="Lumina-Next-SFT",
    ),
    Published(
        name="Lumina-Image-2.0 v2",
        transformer="Lumina2Transformer2DModel",
        config=None,
        coefficients=(
            225.7042019806413,
            -608.8453716535591,
            304.1869942338369,
            124.21267720116742,
            -1.4089066892956552,
        ),
        source="ali-vilab/TeaCache, TeaCache4Lumina2/README.md",
        num_inference_steps=50,
    ),
    Published(
        name="Lumina-Image-2.0 by time embedding",
        transformer="Lumina2Transformer2DModel",
        config=None,
        coefficients=(-8.74643948e02, 4.66059906e02, -7.51559762e01, 5.32836175e00, -3.27258296e-02),
        source="welltop-cn/ComfyUI-TeaCache, nodes.py",
        indicator="temb",
    ),
)
