"""Z-Image, and Bria Fibo 2, whose blocks are Z-Image's.

Published are a polynomial of another indicator (mlx-teacache: the first layer's residual) and digits that were borrowed
from other models without a fit (vllm-omni, sglang), so none is offered here. For Fibo 2 there is none.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The normed tokens with the first block's scale; where some tokens are clean, with that of the noisy ones."""
    embedding = arguments.get("adaln_input")
    embedding = arguments["adaln_noisy"] if embedding is None else embedding
    scale = block.adaLN_modulation(embedding).unsqueeze(1).chunk(4, dim=2)[0]
    modulated: Tensor = block.attention_norm1(arguments["x"]) * (1 + scale)
    return modulated


_z_image = partial(
    Model,
    stack=(Blocks(name="layers", returns=("x",)),),
    indicators={"modulated_input": Indicator(of_block=_modulated)},
    hidden_states="x",
    mask="attn_mask",
)

MODELS = (
    _z_image(
        transformer="ZImageTransformer2DModel",
        rows=RowLayout(shared=()),
        timestep="t",
        latents="x",
        guidance="batch",
        pipelines=("ZImagePipeline",),
    ),
    _z_image(
        transformer="BriaFibo2Transformer2DModel",
        rows=RowLayout(shared=("freqs_cis",)),
        pipelines=("BriaFibo2Pipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
