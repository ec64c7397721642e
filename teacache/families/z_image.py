"""Z-Image. Published are a polynomial of another indicator (mlx-teacache: the first layer's residual) and digits that
were borrowed from other models without a fit (vllm-omni, sglang), so none is offered here."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The normed tokens with the first block's scale; with pictures as context, that of their noisy tokens."""
    embedding = arguments["adaln_input"]
    embedding = arguments["adaln_noisy"] if embedding is None else embedding
    scale = block.adaLN_modulation(embedding).unsqueeze(1).chunk(4, dim=2)[0]
    modulated: Tensor = block.attention_norm1(arguments["x"]) * (1 + scale)
    return modulated


MODELS = (
    Model(
        transformer="ZImageTransformer2DModel",
        stack=(Blocks(name="layers", returns=("x",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        hidden_states="x",
        mask="attn_mask",
        shared=(),
        timestep="t",
        latents="x",
        guidance="batch",
        pipelines=("ZImagePipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
