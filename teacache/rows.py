"""Rows of a batch: which belong to one sample, which are computed, and how they leave the batch and come back."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Granularity = Literal["sample", "batch"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Some rows of a batch, in order."""

    rows: tuple[int, ...]
    size: int
    """Of the whole batch."""
    _indexes: dict[tuple[torch.device, int], Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def all(self) -> bool:
        return len(self.rows) == self.size

    @property
    def rest(self) -> Selection:
        return Selection(tuple(row for row in range(self.size) if row not in self.rows), self.size)

    def take(self, tensor: Tensor) -> Tensor:
        """The selected rows; the tensor itself where all are."""
        return tensor if self.all else tensor.index_select(0, self._index(tensor.device, len(tensor) // self.size))

    def put(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """A copy of the tensor with the selected rows replaced; if it has one row, that goes for all of the batch."""
        if self.all:
            return rows
        if len(tensor) == 1:  # embeddings of one prompt for several pictures
            tensor = tensor.expand(self.size, *tensor.shape[1:])
        return tensor.index_copy(0, self._index(tensor.device, 1), rows.to(tensor.dtype))

    def put_(self, tensor: Tensor, rows: Tensor) -> None:
        """The same in place."""
        tensor.index_copy_(0, self._index(tensor.device, 1), rows)

    def take_from(self, value: Any, *, repeated: bool = False) -> Any:
        """The selected rows of every batched tensor inside lists, tuples, dicts and plain objects.

        Args:
            repeated: the tensors may hold the batch several times, one after the other.
        """
        if isinstance(value, Tensor):
            batched = value.ndim > 0 and (len(value) == self.size or (repeated and len(value) % self.size == 0))
            return self.take(value) if batched else value
        if isinstance(value, dict):
            return {key: self.take_from(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self.take_from(item) for item in value)
        attributes = getattr(value, "__dict__", {})
        held = {name: self.take_from(item) for name, item in attributes.items() if isinstance(item, Tensor)}
        held |= {name: [item[row * len(item) // self.size] for row in self.rows]
                 for name, item in attributes.items() if self._is_by_sample(item)}  # fmt: skip
        if held:  # an object that carries tensors, as FLUX.2's and GLM-Image's keys and values of given images
            value = copy.copy(value)
            vars(value).update(held)
        return value

    def _is_by_sample(self, value: Any) -> bool:
        """Whether it is a list with a tensor for every sample, of which the batch holds one or several rows in turn."""
        if not isinstance(value, list) or len(value) < 2 or self.size % len(value) != 0:
            return False
        return all(isinstance(one, Tensor) and len(one) == 1 for one in value)

    def _index(self, device: torch.device, times: int) -> Tensor:
        if (device, times) not in self._indexes:  # a copy to the device, which is not to be made for every block
            numbers = [row + time * self.size for time in range(times) for row in self.rows]
            self._indexes[device, times] = torch.tensor(numbers, device=device)
        return self._indexes[device, times]


NO_ROWS = Selection((), 0)


class Ties:
    """Which rows decide together.

    A pipeline with guidance in one batch repeats the samples: row r and row r + n are two halves of sample r. That is
    seen from the latents, which are equal in such rows at every step; samples that merely start from the same noise
    part at the first step, so the second step is looked at. A run of one step has the first only.
    """

    def __init__(self, size: int, granularity: Granularity, ranks: Any = None) -> None:
        """
        Args:
            ranks: the process group among which tokens are split, if they are.
        """
        self.size = size
        self._ranks = ranks
        self._all = granularity == "batch"
        self._samples = size
        self._candidates = [size // repeats for repeats in (2, 3) if size % repeats == 0]
        self._pending: Tensor | None = None

    def watch(self, latents: Tensor | None) -> None:
        """Compare the latents of a step after the first; nothing is read back from the device yet."""
        if latents is not None and self._candidates and len(latents) == self.size:
            repeats = [(latents == latents[:count].repeat(self.size // count, *[1] * (latents.ndim - 1))).all()
                       for count in self._candidates]  # fmt: skip
            self._pending = torch.stack(repeats)

    @property
    def samples(self) -> int:
        """How many samples the batch holds; reads back what `watch` left."""
        if self._pending is not None:
            self._resolve(self._pending.tolist())
        return self._samples

    def ratios(self, sums: Tensor, rows: Collection[int]) -> list[float]:
        """Row by row the quotient of two sums (a tensor of shape (2, rows)), taken over all rows of the sample.

        One transfer from the device.
        """
        if self._ranks is not None:
            torch.distributed.all_reduce(sums, group=self._ranks)
        if self._pending is None:
            above, below = sums.tolist()
        else:
            count = len(self._pending)
            values = torch.cat([sums.flatten(), self._pending.to(sums)]).tolist()
            self._resolve(values[-count:])
            half = sums.shape[1]
            above, below = values[:half], values[half : 2 * half]
        if len(above) == 1:  # the quantity is one for the whole batch
            return [_quotient(above[0], below[0])] * len(rows)
        samples = 1 if self._all else self._samples
        if samples == self.size:  # no rows are tied
            return [_quotient(upper, lower) for _, upper, lower in zip(rows, above, below, strict=True)]
        uppers, lowers = [0.0] * samples, [0.0] * samples
        for row, upper, lower in zip(rows, above, below, strict=True):
            uppers[row % samples] += upper
            lowers[row % samples] += lower
        return [_quotient(uppers[row % samples], lowers[row % samples]) for row in rows]

    def _resolve(self, repeats: Sequence[float]) -> None:
        self._pending, candidates, self._candidates = None, self._candidates, []
        self._samples = next((count for count, same in zip(candidates, repeats, strict=True) if same), self._samples)


def row_norms(tensor: Tensor, *, spare: Tensor | None = None) -> Tensor:
    """The sum of the absolute values in each row, in float32 or better.

    Args:
        spare: a tensor like this one, or itself, that may be written over.
    """
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    if tensor.device.type == "cpu":  # where torch's norm takes longer than two passes, which are vector code
        return torch.abs(tensor, out=spare).flatten(1).sum(1, dtype=dtype)
    norms: Tensor = torch.linalg.vector_norm(tensor.flatten(1), ord=1, dim=1, dtype=dtype)
    return norms


def _quotient(above: float, below: float) -> float:
    """As floating-point arithmetic has it; Python raises."""
    if below:
        return above / below
    return float("nan") if above == 0 or above != above else float("inf")
