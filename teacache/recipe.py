"""What TeaCache's rule needs to know of a model."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What `TeaCacheConfig` needs to know beyond its own fields."""

    coefficients: tuple[float, ...]
    fitted_range: tuple[float, float] | None = None
    indicator: str = ""
    """"" is the model's default."""
    first: int | float = 1
    last: bool = True

    def first_steps(self, num_inference_steps: int | None) -> int:
        """How many steps at the start of a run are always computed."""
        if isinstance(self.first, int):
            return self.first
        return 1 if num_inference_steps is None else max(1, math.ceil(self.first * num_inference_steps))
