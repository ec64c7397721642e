"""Kandinsky 5, and Kandinsky 6: videos with sound, and their super-resolution. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The visual tokens after the first block's norm, shift and scale, as the block has them."""
    visual: Tensor = arguments["visual_embed"]
    modulation = block.visual_modulation(arguments["time_embed"]).unsqueeze(1).float()
    shift, scale = modulation.chunk(9, dim=-1)[:2]
    modulated: Tensor = block.self_attention_norm(visual.float()) * (scale + 1.0) + shift
    return modulated


def _modulated_video(block: Any, arguments: Arguments) -> Tensor:
    """The same where the block has a part for the video and one for the sound."""
    part, video = block.video_dec_block, arguments["vis"]
    shift, scale = part.visual_modulation(arguments["time_embed"][0]).unsqueeze(1).float().chunk(9, dim=-1)[:2]
    modulated: Tensor = part.self_attention_norm(video.float()) * (scale + 1.0) + shift
    return modulated


def _modulated_tile(block: Any, arguments: Arguments) -> Tensor:
    """The tokens of a tile after the first block's norm, shift and scale, as the block has them."""
    shift, scale = block.visual_modulation(arguments["temb"]).unsqueeze(1).float().chunk(6, dim=-1)[:2]
    modulated: Tensor = block.self_attention_norm(arguments["hidden_states"].float()) * (scale + 1.0) + shift
    return modulated


MODELS = (
    Model(
        transformer="Kandinsky5Transformer3DModel",
        stack=(Blocks(name="visual_transformer_blocks", returns=("visual_embed",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        hidden_states="visual_embed",
        rows=RowLayout(shared=("sparse_params",)),
        pipelines=("Kandinsky5T2VPipeline",),
    ),
    Model(
        transformer="Kandinsky6Transformer3DModel",
        stack=(Blocks(name="visual_transformer_blocks", returns=("vis", "aud")),),
        indicators={"modulated_input": Indicator(of_block=_modulated_video)},
        hidden_states="vis",
        further_streams=("aud",),
        rows=RowLayout(shared=("vis_rope", "aud_rope")),
        pipelines=("Kandinsky6TI2VAPipeline",),
    ),
    Model(
        transformer="Kandinsky6SRTransformer3DModel",
        stack=(Blocks(name="visual_transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated_tile)},
        rows=RowLayout(shared=("rotary_emb", "sparse_params")),
        pipelines=("Kandinsky6SRPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
