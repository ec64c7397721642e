"""Indicators that several models share; each takes the first block and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from teacache.models import Arguments


def norm1(block: Any, arguments: Arguments) -> Tensor:
    """The hidden states after the first block's adaptive layer norm (TeaCache4FLUX/teacache_flux.py)."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], arguments["temb"])[0]
    return modulated


def norm1_emb(block: Any, arguments: Arguments) -> Tensor:
    """The same, for norms that call the embedding `emb`."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], emb=arguments["temb"])[0]
    return modulated


def temb(block: Any, arguments: Arguments) -> Tensor:
    """The time embedding (TeaCache4CogVideoX1.5)."""
    embedding: Tensor = arguments["temb"]
    return embedding


def hidden_states(block: Any, arguments: Arguments) -> Tensor:
    """The stack's input as it is (ComfyUI-TeaCache, HiDream Dev and Fast)."""
    tokens: Tensor = arguments["hidden_states"]
    return tokens


def shift_and_scale(embedding: str) -> Callable[[Any, Arguments], Tensor]:
    """The hidden states after the norm of a block that adds the time embedding to a table of its own: six rows, shift
    and scale first.

    Args:
        embedding: the block's argument that holds it, (rows, 6 * channels).
    """

    def of_block(block: Any, arguments: Arguments) -> Tensor:
        normed: Tensor = block.norm1(arguments["hidden_states"])
        time = arguments[embedding].reshape(len(normed), 6, -1)
        shift, scale = (block.scale_shift_table[None] + time)[:, :2].chunk(2, dim=1)
        modulated: Tensor = normed * (1 + scale) + shift
        return modulated

    return of_block
