"""What stands in for the block stack on a skipped step."""

from __future__ import annotations

from collections import deque

from torch import Tensor


class Extrapolation:
    """The polynomial in the step number through the last `order + 1` residuals.

    Order 0 is the last residual again, as TeaCache was published; order 1 is the line through the last two. With fewer
    residuals than that the order is lower. Memory: `order + 1` residuals, each as large as the stack's input.
    """

    def __init__(self, order: int) -> None:
        self._known: deque[tuple[int, Tensor]] = deque(maxlen=order + 1)

    def keep(self, step: int, residual: Tensor) -> None:
        """Remember what a computed step added to its input; residuals of another shape or device are forgotten."""
        if self._known and not _alike(self._known[-1][1], residual):
            self._known.clear()
        self._known.append((step, residual))

    def can_stand_in(self, stack_input: Tensor) -> bool:
        return bool(self._known) and _alike(self._known[-1][1], stack_input)

    def predict(self, step: int) -> Tensor:
        """The residual of `step`, by Lagrange's formula."""
        nodes = [node for node, _ in self._known]
        prediction: Tensor | None = None
        for node, residual in self._known:
            weight = 1.0
            for other in nodes:
                if other != node:
                    weight *= (step - other) / (node - other)
            term = residual if weight == 1.0 else residual * weight
            prediction = term if prediction is None else prediction + term
        assert prediction is not None, "nothing to extrapolate from"
        return prediction


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
