"""What the indicator asks of the first block and the block then asks of itself is evaluated once."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

import torch
from torch import nn

from teacache.compiling import between, compiles


class Shared:
    """A submodule of the first block that answers the indicator, and the same to the block if that asks the same.

    It stands in the place of the submodule's forward while one of them asks, no longer: torch.compile would trace it.
    Where something else stands there already, as for offloading, both evaluate.
    """

    def __init__(self, module: nn.Module, block: Callable[..., Any]) -> None:
        """
        Args:
            block: the forward of the first block, which `module` is in.
        """
        self._module, self._block = module, block
        self.forget()

    @between
    def forget(self) -> None:
        """Let go of the answer."""
        self._asked: tuple[Any, ...] = ()
        self._answer: Any = None

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call what asks for the indicator, and keep the answer."""
        self.forget()
        return self._during(function, args, {})

    @between
    def lend(self, *args: Any, **kwargs: Any) -> Any:
        """Call the block, which may have the answer if it is not compiled and has no gradient to lose."""
        try:
            if self._answer is None or torch.is_grad_enabled() or compiles():
                return self._block(*args, **kwargs)
            return self._during(self._block, args, kwargs)
        finally:
            self.forget()

    def _during(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """With this in the place of the submodule's forward."""
        attributes = vars(self._module)
        if "forward" in attributes:
            return function(*args, **kwargs)
        attributes["forward"] = self
        try:
            return function(*args, **kwargs)
        finally:
            del attributes["forward"]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        asked, forward = (*args, *kwargs, *kwargs.values()), type(self._module).forward
        if not self._asked:
            self._asked, self._answer = asked, forward(self._module, *args, **kwargs)
            return self._answer
        if self._answer is None or len(asked) != len(self._asked) or not all(map(is_, asked, self._asked)):
            return forward(self._module, *args, **kwargs)
        answer, self._answer = self._answer, None  # the block lets go of it early
        return answer
