"""Qwen-Image 2.1. No polynomial is published.

Text and given pictures are a prefix that the target's tokens look at and that is the same at every step: by default the
first step keeps its keys and values, and later ones compute the target's tokens only. So only those are cached.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _target(arguments: Arguments) -> int:
    """How many tokens stand behind the last segment of the prefix; all where the prefix is not computed."""
    segments, count = arguments.get("segments"), arguments["hidden_states"].shape[1]
    return int(count - segments[-1][1]) if segments else int(count)


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The target's tokens after the first block's norm and scale, as the block has them."""
    tokens: Tensor = arguments["hidden_states"][:, -_target(arguments) :]
    modulation = arguments["modulation"][: len(tokens)]
    return block._modulate(block.img_norm1(tokens), modulation.chunk(2, dim=-1)[0], None)[0]  # type: ignore[no-any-return]


def _mask_of_whole_batches(transformer: Any) -> str:
    if any(
        type(block.attn.processor).__name__.endswith("FlexAttnProcessor") for block in transformer.transformer_blocks
    ):
        return (
            "the mask of its flex attention is for whole batches; transformer.set_attn_processor("
            "QwenImage21AttnProcessor()) takes another"
        )
    return ""


MODELS = (
    Model(
        transformer="QwenImage21Transformer2DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        tokens="last",
        count=_target,
        # The modulation is followed by that of the prefix, which is of time 0.
        rows=RowLayout(shared=("rotary_emb", "target_token_mask"), followed=("modulation",)),
        memory=True,
        refuses=_mask_of_whole_batches,
        pipelines=("QwenImage21Pipeline",),
    ),
)

PUBLISHED: tuple[Published, ...] = ()
