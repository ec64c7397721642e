"""HunyuanVideo, FramePack, HunyuanVideo 1.5 and HunyuanImage 2.1."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.indicators import norm1_emb
from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """As in the block; where the first frame is given ("token_replace") it has an embedding of its own."""
    first_frame = arguments.get("token_replace_emb")
    if first_frame is None:
        return norm1_emb(block, arguments)
    modulated: Tensor = block.norm1(
        arguments["hidden_states"], arguments["temb"], first_frame, arguments["num_tokens"]
    )[0]
    return modulated


_RETURNS = ("hidden_states", "encoder_hidden_states")
_DOUBLE = Blocks(name="transformer_blocks", returns=_RETURNS)
_SINGLE = Blocks(name="single_transformer_blocks", returns=_RETURNS)
_SHARED = ("freqs_cis", "image_rotary_emb")  # the two kinds of blocks call it differently

MODELS = (
    Model(
        transformer="HunyuanVideoTransformer3DModel",
        stack=(_DOUBLE, _SINGLE),
        indicators={"modulated_input": Indicator(of_block=_norm1)},
        rows=RowLayout(shared=_SHARED),
        pipelines=("HunyuanVideoPipeline", "HunyuanVideoImageToVideoPipeline"),
    ),
    Model(
        transformer="HunyuanVideoFramepackTransformer3DModel",
        stack=(_DOUBLE, _SINGLE),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        rows=RowLayout(shared=_SHARED),
        pipelines=("HunyuanVideoFramepackPipeline",),
    ),
    Model(
        transformer="HunyuanVideo15Transformer3DModel",
        stack=(_DOUBLE,),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        rows=RowLayout(shared=_SHARED),
        pipelines=("HunyuanVideo15Pipeline",),
    ),
    Model(
        transformer="HunyuanImageTransformer2DModel",
        stack=(_DOUBLE, _SINGLE),
        indicators={"modulated_input": Indicator(of_block=norm1_emb, shares="norm1")},
        pipelines=("HunyuanImagePipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="HunyuanVideo",
        transformer="HunyuanVideoTransformer3DModel",
        config={"num_layers": 20, "num_single_layers": 40, "in_channels": 16, "image_condition_type": None},
        coefficients=(7.33226126e02, -4.01131952e02, 6.75869174e01, -3.14987800e00, 9.61237896e-02),
        source="ali-vilab/TeaCache, TeaCache4HunyuanVideo",
        num_inference_steps=50,
        resolution="540P and 720P, 129 frames",
    ),
)
