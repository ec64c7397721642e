"""One line of the comparison: a method and how it is turned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


def uncached(pipe: Any) -> AbstractContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is run: everything in `with on(pipe):`."""

    method: str
    """The line of the plot that it is a point of."""
    turned: str
    """Its parameters, as its own documentation names them."""
    on: Callable[[Any], AbstractContextManager[Any]] = uncached
    num_inference_steps: int | None = None
    """Where that is not the number of the comparison."""
    ours: bool = False
