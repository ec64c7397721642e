"""What stands in for the block stack on a skipped step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from teacache.kinds import Kind, kind_of
from teacache.rows import Selection


class Predictor(Protocol):
    def keep(self, step: int, residual: Tensor, rows: Selection) -> None:
        """Remember what a computed step added to its input, for the rows that were computed."""
        ...

    def can_stand_in(self, stack_input: Tensor) -> bool:
        """Whether it can for every row of an input like this one."""
        ...

    def predict(self, step: int, rows: Selection) -> Tensor:
        """What is to be added to the input at `step`, for some rows."""
        ...

    def error(self, step: int, residual: Tensor, rows: Selection) -> Tensor:
        """What `predict` would have given too much, for rows whose residual is known now, just before it is kept."""
        ...


class Extrapolation:
    """The line in the step number through a row's last two residuals (order 1), or its last residual (order 0).

    Order 0 is TeaCache as published. While a row has one residual only, order 1 reuses it as well. Memory: `order + 1`
    residuals, each as large as the stack's input, in `dtype` and on `device` where those are given. Where a model has
    several streams, there is one of these for each.
    """

    def __init__(self, order: int, *, dtype: torch.dtype | None = None, device: str | None = None) -> None:
        self._order = order
        self._dtype, self._device = dtype, device
        self._residuals: list[Tensor] = []
        self._steps: list[list[int | None]] = []
        """Newest first, as the residuals: the step that each row comes from."""
        self._like: Kind | None = None

    def keep(self, step: int, residual: Tensor, rows: Selection) -> None:
        """Remember what a computed step added to its input, for the rows that were computed.

        Residuals of the whole batch may be of another shape, type or device than the ones before, which then go.
        """
        if rows.all and self._like != kind_of(residual):
            self._residuals, self._steps, self._like = [], [], kind_of(residual)
        stored = residual.to(device=self._device, dtype=self._dtype)
        if rows.all:
            self._residuals = [stored, *self._residuals][: self._order + 1]
            steps: list[int | None] = [step] * rows.size
            self._steps = [steps, *self._steps][: self._order + 1]
            return
        if len(self._residuals) <= self._order:
            self._residuals.append(self._residuals[-1].clone())
            self._steps.append([None] * rows.size)
        for level in range(self._order, 0, -1):
            rows.put_(self._residuals[level], rows.take(self._residuals[level - 1]))
        rows.put_(self._residuals[0], stored)
        for row in rows.rows:
            for level in range(self._order, 0, -1):
                self._steps[level][row] = self._steps[level - 1][row]
            self._steps[0][row] = step

    def can_stand_in(self, stack_input: Tensor) -> bool:
        """Whether there is a residual for every row of an input like this one."""
        return bool(self._residuals) and self._like == kind_of(stack_input)

    def predict(self, step: int, rows: Selection) -> Tensor:
        """The residual of `step`, for some rows."""
        newest = self._ready(rows.take(self._residuals[0]))
        reaches = [self._reach(step, row) for row in rows.rows]
        if not any(reaches):
            return newest
        older = self._ready(rows.take(self._residuals[1]))
        return torch.lerp(older, newest, _weight(reaches, newest))

    def error(self, step: int, residual: Tensor, rows: Selection) -> Tensor:
        """What `predict` would have given too much, for rows whose residual is known now, just before it is kept.

        Made in the memory of the older residuals of a line: what is kept takes their place.
        """
        reaches = [self._reach(step, row) for row in rows.rows]
        if not all(reaches):
            return self.predict(step, rows) - residual
        newest, older = (self._ready(rows.take(level)) for level in self._residuals)
        return older.lerp_(newest, _weight(reaches, newest)).sub_(residual)

    def _reach(self, step: int, row: int) -> float:
        """How far beyond the last two residuals of a row a step lies, in units of their distance."""
        newest, older = self._steps[0][row], self._steps[-1][row] if len(self._steps) > 1 else None
        assert newest is not None
        return 0.0 if older is None else (step - newest) / (newest - older)

    def _ready(self, residual: Tensor) -> Tensor:
        assert self._like is not None
        return residual.to(device=self._like.device, dtype=self._like.dtype)


def _weight(reaches: Sequence[float], newest: Tensor) -> Any:
    """Of the newer of a line's two residuals: a number, or one for each row."""
    if len(set(reaches)) == 1:
        return 1.0 + reaches[0]
    weights = torch.tensor(reaches, device=newest.device, dtype=newest.dtype) + 1.0
    return weights.reshape(-1, *[1] * (newest.ndim - 1))
