"""LTX-Video, LTX-2, whose blocks carry the sound beside the video, and SANA-WM's refiner, an LTX-2 for video alone that
goes through it part by part, each in a run of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The normed hidden states with the first block's shift and scale (TeaCache4LTX-Video/teacache_ltx.py)."""
    temb = arguments["temb"]
    table = block.scale_shift_table[None, None].to(temb.device)
    values = table + temb.reshape(len(temb), temb.shape[1], len(block.scale_shift_table), -1)
    shift, scale = values[:, :, 0], values[:, :, 1]
    modulated: Tensor = block.norm1(arguments["hidden_states"]) * (1 + scale) + shift
    return modulated


def _modulated_video(block: Any, arguments: Arguments) -> Tensor:
    """The same of the video, as the block has it; nothing is published."""
    video: Tensor = arguments["hidden_states"]
    shift, scale = block.get_mod_params(block.scale_shift_table, arguments["temb"], len(video))[:2]
    modulated: Tensor = block.norm1(video) * (1 + scale) + shift
    return modulated


def _keeps_part(arguments: Arguments) -> bool:
    """What the video starts with, and a part that is done, go through the blocks once, which keep their keys and values
    for the parts that follow."""
    return "capture" in (arguments.get("kv_cache_mode") or "")


def _noisiest(arguments: Arguments) -> Any:
    """The timestep of the noisiest tokens. Each has its own, lower where a picture is given, so that the tiles of a
    video (LTX-2.5) differ in their mean at the same step; sigma is the step's, but in Echo that of the first token."""
    timestep, sigma = arguments["timestep"], arguments.get("sigma")
    return timestep if sigma is None else torch.maximum(timestep.amax(), sigma.amax())


MODELS = (
    Model(
        transformer="LTXVideoTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        published_exit="proj_out",
        rows=RowLayout(shared=()),
        guidance="batch",
        pipelines=("LTXPipeline", "LTXImageToVideoPipeline"),
    ),
    Model(
        transformer="LTX2VideoTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "audio_hidden_states")),),
        further_streams=("audio_hidden_states",),
        indicators={"modulated_input": Indicator(of_block=_modulated_video)},
        rows=RowLayout(shared=()),
        timestep=_noisiest,
        guidance="batch",
        pipelines=("LTX2Pipeline", "LTX2ImageToVideoPipeline"),
    ),
    Model(
        transformer="SanaWMLTX2RefinerTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated_video)},
        rows=RowLayout(shared=()),
        apart=_keeps_part,
        pipelines=("SanaWMLTX2Refiner",),
    ),
)

PUBLISHED = (
    Published(
        name="LTX-Video-0.9.1",
        transformer="LTXVideoTransformer3DModel",
        config={"num_layers": 28, "num_attention_heads": 32, "cross_attention_dim": 2048},
        coefficients=(2.14700694e01, -1.28016453e01, 2.31279151e00, 7.92487521e-01, 9.69274326e-03),
        source="ali-vilab/TeaCache, TeaCache4LTX-Video/teacache_ltx.py",
        num_inference_steps=50,
        resolution="512x768, 161 frames",
    ),
)
