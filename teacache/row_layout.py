"""Where the rows of the batch lie in the arguments of a model's blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from teacache.rows import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """The arguments, by name, in which they do not lie in the first dimension alone."""

    shared: tuple[str, ...] = ("image_rotary_emb",)
    """Hold no rows of the batch, though their first dimension may look like it."""
    repeated: tuple[str, ...] = ()
    """May hold the batch several times."""
    followed: tuple[str, ...] = ()
    """Have rows behind those of the batch that belong to none."""
    second: tuple[str, ...] = ()
    """Have the rows in the second dimension."""
    together: tuple[str, ...] = ()
    """Hold several rows in the place of each of the batch, one after the other, as the frames of a video; how many, may
    change from block to block."""
    missing: tuple[str, ...] = ()
    """Hold the tokens of the one sample that a call is for: (tokens, channels)."""

    @property
    def turns(self) -> bool:
        """Whether there are arguments that `first` turns."""
        return bool(self.second or self.together or self.missing)

    def first(self, name: str, value: Any, size: int) -> Any:
        """A view of an argument whose first dimension is the rows of the batch, of which there are so many."""
        if name in self.second:
            return _each(value, lambda tensor: tensor.transpose(0, 1))
        if name in self.together:
            return _each(value, lambda tensor: tensor.unflatten(0, (size, -1)))  # type: ignore[no-untyped-call]
        return _each(value, lambda tensor: tensor.unsqueeze(0)) if name in self.missing else value

    def back(self, name: str, value: Any) -> Any:
        """Of such a view, or something like it, the argument."""
        if name in self.second:
            return _each(value, lambda tensor: tensor.transpose(0, 1))
        if name in self.together:
            return _each(value, lambda tensor: tensor.flatten(0, 1))
        return _each(value, lambda tensor: tensor.squeeze(0)) if name in self.missing else value

    def take(self, name: str, value: Any, rows: Selection) -> Any:
        """An argument with the selected rows only."""
        if name in self.shared:
            return value
        if name in self.followed:
            return torch.cat([rows.take(value[: rows.size]), value[rows.size :]])
        return self.back(name, rows.take_from(self.first(name, value, rows.size), repeated=name in self.repeated))

    def put(self, name: str, value: Any, news: Any, rows: Selection) -> Any:
        """An argument with the selected rows replaced by those of another, which has no others."""
        old, new = self.first(name, value, rows.size), self.first(name, news, len(rows.rows))
        return self.back(name, rows.put(old, new))


def _each(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Does something to a tensor, or to every one of a list or of a dict."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: function(one) for key, one in value.items()}
    return value if value is None else [function(one) for one in value]
