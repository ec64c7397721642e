"""Qwen-Image."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The image tokens after the first block's norm and modulation (IonDen/mlx-teacache)."""
    modulation = block.img_mod(arguments["temb"]).chunk(2, dim=-1)[0]
    normed = block.img_norm1(arguments["hidden_states"])
    modulated: Tensor = block._modulate(normed, modulation, arguments.get("modulate_index"))[0]
    return modulated


MODELS = (
    Model(
        transformer="QwenImageTransformer2DModel",
        stack=(Blocks(name="transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        # With zero_cond_t once for the noisy tokens and once for those of the given images.
        rows=RowLayout(repeated=("temb",)),
        pipelines=("QwenImagePipeline", "QwenImageModularPipeline"),
    ),
)

PUBLISHED = (
    Published(
        name="Qwen-Image",
        transformer="QwenImageTransformer2DModel",
        config={"num_layers": 60, "num_attention_heads": 24, "zero_cond_t": False, "use_additional_t_cond": False},
        pipeline="QwenImagePipeline",  # the config of the Edit models is the same
        coefficients=(-12.954226906135869, 8.883805167578382, -0.9363839862290331, 1.4538816050570036, 0.0),
        fitted_range=(0.0468, 0.5878),
        source="IonDen/mlx-teacache",
        num_inference_steps=50,
        resolution="768x768",
    ),
    Published(
        name="Qwen-Image-2512",
        transformer="QwenImageTransformer2DModel",
        config=None,
        coefficients=(-13.200421839759947, 4.851407025105924, 2.4891133197469846, 0.2453630032662089, 0.0),
        fitted_range=(0.0809, 0.4706),
        source="IonDen/mlx-teacache",
    ),
)
