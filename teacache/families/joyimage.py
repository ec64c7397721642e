"""JoyImage-Edit and JoyImage-Edit-Plus. No polynomial is published."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The image tokens after the first block's norm, scale and shift, as the block has them."""
    shift, scale = (part.unsqueeze(1) for part in block.img_mod(arguments["temb"])[:2])
    modulated: Tensor = block.img_norm1(arguments["hidden_states"]) * (1 + scale) + shift
    return modulated


def _modulated_where_kept(block: Any, arguments: Arguments) -> Tensor:
    """The same, with zeros where rows with fewer or smaller pictures than others are padded."""
    modulated, kept = _modulated(block, arguments), arguments["attention_mask"]
    return modulated if kept is None else modulated * kept[:, 0, 0, : modulated.shape[1], None]


_joyimage = partial(
    Model,
    stack=(Blocks(name="double_blocks", returns=("hidden_states", "encoder_hidden_states")),),
)

MODELS = (
    _joyimage(
        transformer="JoyImageEditTransformer3DModel",
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        pipelines=("JoyImageEditPipeline",),
    ),
    _joyimage(
        transformer="JoyImageEditPlusTransformer3DModel",
        indicators={"modulated_input": Indicator(of_block=_modulated_where_kept)},
        mask="attention_mask",
        # Given pictures differ in number and size from row to row, and so do the rotary embeddings.
        rows=RowLayout(shared=()),
        guidance="batch",
        pipelines=("JoyImageEditPlusPipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
