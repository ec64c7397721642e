"""FLUX.1."""

from __future__ import annotations

from teacache.indicators import norm1_emb
from teacache.models import Blocks, Indicator, Model, Published

_DOUBLE = ("encoder_hidden_states", "hidden_states")

MODELS = (
    Model(
        transformer="FluxTransformer2DModel",
        stack=(
            Blocks(name="transformer_blocks", returns=_DOUBLE),
            Blocks(name="single_transformer_blocks", returns=_DOUBLE),
        ),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        pipelines=(
            "FluxPipeline", "FluxKontextPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline", "FluxFillPipeline",
            "FluxControlPipeline", "FluxControlNetPipeline", "FluxModularPipeline",
        ),
    ),
)  # fmt: skip

_FLUX_1 = {"num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24}
_FLUX_DEV = (4.98651651e02, -2.83781631e02, 5.58554382e01, -3.82021401e00, 2.64230861e-01)
_OFFICIAL = "ali-vilab/TeaCache, TeaCache4FLUX/teacache_flux.py"

PUBLISHED = (
    Published(
        name="FLUX.1-Kontext-dev",
        transformer="FluxTransformer2DModel",
        config=_FLUX_1,
        pipeline="Kontext",
        coefficients=(-1.04655119e03, 3.12563399e02, -1.69500694e01, 4.10995971e-01, 3.74537863e-02),
        source="welltop-cn/ComfyUI-TeaCache, nodes.py",
    ),
    Published(
        name="FLUX.1-dev",
        transformer="FluxTransformer2DModel",
        config={**_FLUX_1, "guidance_embeds": True, "in_channels": 64},
        coefficients=_FLUX_DEV,
        source=_OFFICIAL,
        num_inference_steps=28,
        resolution="1024x1024",
    ),
    Published(
        name="FLUX.1-Krea-dev",
        transformer="FluxTransformer2DModel",
        config=None,
        coefficients=(24.18037744588824, -45.41912128506917, 26.20213376107934, -3.579234954660995,
                      0.40140693642366004),
        source="IonDen/mlx-teacache",
        num_inference_steps=28,
    ),
    Published(
        name="FLUX.1-Fill, Canny or Depth",
        transformer="FluxTransformer2DModel",
        config={**_FLUX_1, "guidance_embeds": True},
        coefficients=_FLUX_DEV,
        source=_OFFICIAL,
        borrowed_from="FLUX.1-dev",
    ),
    Published(
        name="FLUX.1-schnell",
        transformer="FluxTransformer2DModel",
        config=_FLUX_1,
        coefficients=_FLUX_DEV,
        source=_OFFICIAL,
        borrowed_from="FLUX.1-dev",
    ),
)  # fmt: skip
