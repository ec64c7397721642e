"""LongCat-AudioDiT. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import layer_norm

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The audio tokens after the first block's norm, scale and shift, as the block has them."""
    tokens: Tensor = arguments["hidden_states"]
    modulation = (arguments["adaln_global_out"] + block.adaln_scale_shift).unsqueeze(1)
    scale, shift = modulation.chunk(6, dim=-1)[1:3]
    normed = layer_norm(tokens.float(), tokens.shape[-1:], eps=1e-6).type_as(tokens)
    modulated: Tensor = normed * (1 + scale) + shift
    return modulated


def _modulated_block_by_block(transformer: Any) -> str:
    """No published checkpoint is."""
    kind = transformer.config.adaln_type
    return "" if kind == "global" else f"its blocks make their own modulation (adaln_type is {kind!r})"


MODELS = (
    Model(
        transformer="LongCatAudioDiTTransformer",
        stack=(Blocks(name="blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        mask="mask",
        rows=RowLayout(shared=("rope", "cond_rope")),
        refuses=_modulated_block_by_block,
        pipelines=("LongCatAudioDiTPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
