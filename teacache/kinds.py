"""What tensors must have in common to be used together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Kind(NamedTuple):
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device


def kind_of(tensor: Tensor) -> Kind:
    return Kind(tensor.shape, tensor.dtype, tensor.device)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors inside lists, tuples and mappings, diffusers' outputs among them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors_in(one)
