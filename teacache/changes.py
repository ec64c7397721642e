"""How far the indicator moves from one step to the next: eq. 4 of the paper, with the earlier step below the line."""

from __future__ import annotations

import torch
from torch import Tensor

from teacache.kinds import kind_of
from teacache.rows import row_norms


class Changes:
    """Compares each indicator with the last one, of which it keeps a copy: the model may write into its own.

    The copy is the only memory that this takes; sums are made in it once it is out of use.
    """

    def __init__(self, *, strict: bool = False) -> None:
        """
        Args:
            strict: divide means in the model's own precision, as the published code does.
        """
        self._strict = strict
        self._last: Tensor | None = None
        self._norms: Tensor | None = None

    def comparable(self, indicator: Tensor) -> bool:
        """Whether there is a last one, and one of this shape, type and device."""
        return self._last is not None and kind_of(self._last) == kind_of(indicator)

    def remember(self, indicator: Tensor) -> None:
        """Take the indicator as the last one."""
        if self._last is None or not self.comparable(indicator):
            self._last = torch.empty_like(indicator)
        self._norms = None if self._strict else row_norms(indicator, spare=self._last)
        self._last.copy_(indicator)

    def measure(self, indicator: Tensor) -> Tensor:
        """Row by row the change and what it is relative to, shape (2, rows); then the indicator is the last one."""
        last, norms = self._last, self._norms
        assert last is not None
        if norms is None:
            change = _means(indicator - last) / _means(last)
            measured = torch.stack([change, torch.ones_like(change)])
        else:
            measured = torch.stack([row_norms(last.sub_(indicator), spare=last), norms])
        self.remember(indicator)
        return measured


def _means(tensor: Tensor) -> Tensor:
    return tensor.abs().flatten(1).mean(1)
