"""What a user asks for: one frozen dataclass per caching method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TeaCacheConfig:
    """TeaCache as published (Liu et al., CVPR 2025, arXiv 2411.19108; repository ali-vilab/TeaCache).

    On every denoising step the relative L1 change of the model's indicator since the step before goes through a
    polynomial; the results add up, and the blocks are skipped while the sum stays below `rel_l1_thresh`. A skipped
    step adds the residual (stack output minus stack input) of the last computed step to its own stack input.
    The first and the last step are always computed. Memory: `order + 1` residuals and one indicator per guidance
    branch, each as large as the hidden states of the image tokens; for FLUX at 1024x1024 in bfloat16 that is
    4096 tokens x 3072 x 2 bytes = 24 MiB each.

    Raises:
        ValueError: a field is out of its range.
    """

    rel_l1_thresh: float = 0.2
    """Skip while the accumulated, rescaled change is below this. 0 computes every step. For FLUX.1-dev 0.25, 0.4 and
    0.6 gave 1.5x, 1.8x and 2.0x (TeaCache4FLUX's README)."""
    coefficients: tuple[float, ...] | None = None
    """The polynomial, highest degree first as in `numpy.poly1d`. None: found from the model, or from the calibration
    that lies beside its weights."""
    fitted_range: tuple[float, float] | None = None
    """The changes that `coefficients` were fitted on; others are clamped into it. None: not known, no clamping."""
    order: int = 0
    """What stands in for the blocks: 0 the last residual, as published; 1 the line through the last two, which on
    the demo FLUX was better by about 10 dB at the same decisions (`python -m tests.benchmarks.fidelity`)."""
    strict: bool = False
    """True accumulates the raw polynomial as the original code does, in the model's own precision and without the two
    safeguards: no clamping at zero and into `fitted_range`, no `max_consecutive_skips`."""
    max_consecutive_skips: int = 8
    """Compute after so many skipped steps in a row, whatever the polynomial says."""
    num_inference_steps: int | None = None
    """How many steps a run has, so that the last one can be forced. A pipeline knows it: leave it out there."""
    num_inference_steps_callback: Callable[[], int] | None = None
    """The same, asked at the start of every run."""
    current_timestep_callback: Callable[[], float] | None = None
    """Where the run stands, for a denoiser whose `timestep` argument does not tell."""

    def __post_init__(self) -> None:
        if not self.rel_l1_thresh >= 0:
            raise ValueError(f"rel_l1_thresh must be >= 0, got {self.rel_l1_thresh!r}")
        if self.coefficients is not None:
            object.__setattr__(self, "coefficients", tuple(float(value) for value in self.coefficients))
            if not self.coefficients or not all(math.isfinite(value) for value in self.coefficients):
                raise ValueError(f"coefficients must be one or more finite numbers, got {self.coefficients!r}")
        if self.fitted_range is not None:
            low, high = self.fitted_range
            object.__setattr__(self, "fitted_range", (float(low), float(high)))
            if not low < high:
                raise ValueError(f"fitted_range must be (low, high) with low < high, got {self.fitted_range!r}")
        if self.fitted_range is not None and self.coefficients is None:
            raise ValueError("fitted_range goes with coefficients; without them the model's own range is used")
        if self.order not in (0, 1):
            raise ValueError(f"order must be 0 or 1, got {self.order!r}")
        if self.max_consecutive_skips < 1:
            raise ValueError(f"max_consecutive_skips must be >= 1, got {self.max_consecutive_skips!r}")
        if self.num_inference_steps is not None and self.num_inference_steps < 1:
            raise ValueError(f"num_inference_steps must be >= 1, got {self.num_inference_steps!r}")
        if self.num_inference_steps is not None and self.num_inference_steps_callback is not None:
            raise ValueError("give num_inference_steps or num_inference_steps_callback, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncached:
    """Compute every step: statistics of an uncached run, measured exactly as those of a cached one."""


CacheConfig = TeaCacheConfig | Uncached
