"""What differs between models: where the block stack is, what the indicator is, which polynomials were published.

Adding a model means adding one record to `MODELS`; its published polynomials stand in `coefficients.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from teacache.errors import UnsupportedModelError

Indicator = Callable[[Any, "Arguments"], Tensor]


class Arguments:
    """The arguments of one call to a block, by name, however they were passed."""

    __slots__ = ("_args", "_kwargs", "_names")

    def __init__(self, names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._names, self._args, self._kwargs = names, args, kwargs

    def __getitem__(self, name: str) -> Any:
        if name in self._kwargs:
            return self._kwargs[name]
        if name not in self._names or self._names.index(name) >= len(self._args):
            raise ValueError(f"the call has no argument {name}; it takes {', '.join(self._names)}")
        return self._args[self._names.index(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """One list of blocks: its attribute on the transformer, and the arguments that each block returns, in order."""

    name: str
    returns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How to cache one transformer class.

    The residual is that of `hidden_states`: what the last block returns minus what the first one takes in.
    """

    transformer: str
    stack: tuple[Blocks, ...]
    """The block lists, in the order of execution."""
    indicator: Indicator
    """TeaCache's signal, from the first block and its arguments."""
    timestep: str = "timestep"
    """The argument of the transformer's forward that tells where the run stands."""


def modulated_input(block: Any, arguments: Arguments) -> Tensor:
    """The first block's input after its adaptive layer norm (ali-vilab/TeaCache, TeaCache4FLUX/teacache_flux.py)."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], emb=arguments["temb"])[0]
    return modulated


MODELS: Mapping[str, Model] = {
    model.transformer: model
    for model in (
        Model(
            transformer="FluxTransformer2DModel",
            stack=(
                Blocks(name="transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),
                Blocks(name="single_transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),
            ),
            indicator=modulated_input,
        ),
    )
}


def model_for(transformer: nn.Module) -> Model:
    """The record of a transformer, by the name of its class or of a class that it derives from.

    Raises:
        UnsupportedModelError: there is none.
    """
    for kind in type(transformer).__mro__:
        if kind.__name__ in MODELS:
            return MODELS[kind.__name__]
    known = ", ".join(sorted(MODELS))
    raise UnsupportedModelError(
        f"teacache does not know {type(transformer).__name__}. Known: {known}. A record in teacache/models.py adds one."
    )


def relative_l1(current: Tensor, previous: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """mean|current - previous| / mean|previous|: eq. 4 of the paper, with the earlier step below the line."""
    return (current - previous).abs_().mean(dtype=dtype) / previous.abs().mean(dtype=dtype)
