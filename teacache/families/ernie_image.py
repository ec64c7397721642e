"""ERNIE-Image, whose blocks have tokens in the first dimension. No polynomial is published."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """Image and text tokens after the first block's norm, scale and shift, as the block has them.

    Without the tokens that pad the text of other rows, which the shift moves as well.
    """
    shift, scale = arguments["temb"][:2]
    normed = block.adaLN_sa_ln(arguments["x"])
    modulated: Tensor = (normed.float() * (1 + scale.float()) + shift.float()).to(normed.dtype)
    counts: Tensor = arguments["attention_mask"].flatten(1).transpose(0, 1).unsqueeze(-1)
    return modulated * counts


MODELS = (
    Model(
        transformer="ErnieImageTransformer2DModel",
        stack=(Blocks(name="layers", returns=("x",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        hidden_states="x",
        mask="attention_mask",
        rows=RowLayout(shared=(), second=("x", "temb")),
        guidance="batch",
        pipelines=("ErnieImagePipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
