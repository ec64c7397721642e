"""What a user asks for: one frozen dataclass per caching method.

Memory: `order + 1` residuals per guidance branch and sample, each as large as the stack's input. In bfloat16 that is
4096 tokens x 3072 x 2 bytes = 24 MiB for FLUX at 1024x1024, so 48 MiB at order 1; for HunyuanVideo with 129 frames of
720x1280 it is 33 x 45 x 80 = 118,800 tokens x 3072 x 2 bytes = 696 MiB, so 1.4 GiB at order 1. `residual_device="cpu"`
keeps them in the host's memory (each skipped step then waits for `order + 1` copies), `residual_dtype` in fewer bytes.
A model with several streams keeps as many of each, as large as that stream's input: LTX-2's sound adds 126 tokens x
2048 to the 6144 x 4096 of 121 frames of 512x768, one hundredth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from teacache.rows import Granularity

ResidualDtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What all methods have in common."""

    granularity: Granularity = "sample"
    """Whether each sample of a batch decides for itself, so that its result does not depend on its batchmates, or one
    decision is taken for the whole batch, as in the published code. The rows that compute are gathered, so blocks see
    varying batch sizes: torch.compile makes one graph for one row and one for any other number, unless `dynamic=False`,
    which makes one for each."""
    residual_dtype: ResidualDtype | None = None
    """How residuals are kept; None means as the model computes."""
    residual_device: Literal["cpu"] | None = None
    """Where residuals are kept; None means where the model computes."""
    num_inference_steps: int | None = None
    """How many steps a run has, so that the last one can be forced. A pipeline knows it: leave it out there, except
    that with a schedule it is checked."""
    num_inference_steps_callback: Callable[[], int] | None = None
    """The same, asked at the start of every run."""
    current_timestep_callback: Callable[[], float] | None = None
    """Where the run stands, for a denoiser whose `timestep` argument does not tell."""

    def __post_init__(self) -> None:
        if self.granularity not in get_args(Granularity):
            raise ValueError(f"granularity must be sample or batch, got {self.granularity!r}")
        if self.residual_dtype is not None and self.residual_dtype not in get_args(ResidualDtype):
            raise ValueError(f"residual_dtype must be float32, bfloat16 or float16, got {self.residual_dtype!r}")
        if self.residual_device not in (None, "cpu"):
            raise ValueError(f"residual_device must be cpu or left out, got {self.residual_device!r}")
        if self.num_inference_steps is not None and self.num_inference_steps < 1:
            raise ValueError(f"num_inference_steps must be >= 1, got {self.num_inference_steps!r}")
        if self.num_inference_steps is not None and self.num_inference_steps_callback is not None:
            raise ValueError("give num_inference_steps or num_inference_steps_callback, not both")

    @property
    def torch_dtype(self) -> torch.dtype | None:
        dtype: torch.dtype | None = None if self.residual_dtype is None else getattr(torch, self.residual_dtype)
        return dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class TeaCacheConfig(RunConfig):
    """TeaCache as published (Liu et al., CVPR 2025, arXiv 2411.19108; repository ali-vilab/TeaCache).

    On every denoising step the relative L1 change of the model's indicator since the step before goes through a
    polynomial; the results add up, and the blocks are skipped while the sum stays below `rel_l1_thresh`. A skipped
    step adds the residual (stack output minus stack input) of the last computed step to its own stack input.
    The first and the last step are always computed, where the published recipe for a model does not say otherwise.
    Reads one small tensor back from the device per step. Keeps one indicator per branch beside the residuals.

    Raises:
        ValueError: a field is out of its range.
    """

    rel_l1_thresh: float = 0.2
    """Skip while the accumulated, rescaled change is below this. 0 computes every step. For FLUX.1-dev 0.25, 0.4 and
    0.6 gave 1.5x, 1.8x and 2.0x (TeaCache4FLUX's README)."""
    published: str | None = None
    """The name of a published recipe (`teacache.published_for(pipe)` lists a model's). None: the calibration beside
    the weights, else the recipe that the model's config tells."""
    coefficients: tuple[float, ...] | None = None
    """A polynomial of one's own instead, highest degree first as in `numpy.poly1d`."""
    fitted_range: tuple[float, float] | None = None
    """The changes that `coefficients` were fitted on; others are clamped into it. None: not known, no clamping."""
    calibration: str | None = None
    """A calibration's file or folder; None: that beside the weights, if there is one."""
    order: int = 0
    """What stands in for the blocks: 0 the last residual, as published; 1 the line through the last two, which on
    the demo FLUX was better by about 10 dB at the same decisions (`python -m tests.benchmarks.fidelity`)."""
    strict: bool = False
    """True accumulates the raw polynomial as the original code does, in the model's own precision and without the two
    safeguards: no clamping at zero and into `fitted_range`, no `max_consecutive_skips`. Together with
    `granularity="batch"` the decisions are the original code's."""
    max_consecutive_skips: int = 8
    """Compute after so many skipped steps in a row, whatever the polynomial says."""

    def __post_init__(self) -> None:
        RunConfig.__post_init__(self)
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
        if self.published is not None and self.coefficients is not None:
            raise ValueError("give published or coefficients, not both")
        if self.calibration is not None and (self.published is not None or self.coefficients is not None):
            raise ValueError("give calibration, published or coefficients, one of them")
        if self.order not in (0, 1):
            raise ValueError(f"order must be 0 or 1, got {self.order!r}")
        if self.max_consecutive_skips < 1:
            raise ValueError(f"max_consecutive_skips must be >= 1, got {self.max_consecutive_skips!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveConfig(RunConfig):
    """Error-controlled extrapolation; needs no coefficients and no calibration, and works for every model.

    A skipped step uses the line through the residuals of the last two computed steps. Every computed step shows how
    wrong that line would have been there; from it the error of the coming steps is predicted, and they are skipped
    while the sum of their predicted errors stays within `tolerance`. The first three steps and the last are always
    computed. On a pipeline the errors are weighted by how much the scheduler lets each step move the sample. Reads one
    small tensor back from the device per computed step, and none on a skipped one. Residuals: two (order 1).

    Of a model with several streams (LTX-2: video and sound) the one whose relative error is the largest counts, as each
    is looked at or heard by itself; in a common error the few tokens of the sound would vanish.

    Raises:
        ValueError: a field is out of its range.
    """

    tolerance: float = 0.05
    """The sum of predicted relative errors that a stretch of skipped steps may reach. 0 computes every step. Where the
    residuals' curvature stays as it is, a higher one never computes more steps; where it jumps, one that meets the jump
    on a computed step can."""
    max_consecutive_skips: int = 6

    order = 1

    def __post_init__(self) -> None:
        RunConfig.__post_init__(self)
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must be >= 0, got {self.tolerance!r}")
        if self.max_consecutive_skips < 1:
            raise ValueError(f"max_consecutive_skips must be >= 1, got {self.max_consecutive_skips!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig(RunConfig):
    """A fixed list of computed steps, by hand or from a calibration; works for every model.

    Nothing is decided while the model runs and nothing is read back from the device. Steps are those of the
    scheduler, from 0: an img2img run that starts at step 10 computes step 10, as there is no residual yet, and then
    those of the list.

    Raises:
        ValueError: a field is out of its range.
    """

    steps: tuple[int, ...] = ()
    """The computed steps. A run's first step is computed in any case; usually the last one belongs to the list."""
    computed: int | float | None = None
    """Instead of a list: how many steps to compute. Which ones, a calibration says. 3.5 is four, of which the first
    runs the first of two guidance branches alone: where guidance has several calls, a calibration has such ones too."""
    calibration: str | None = None
    """Its file or folder; None: that beside the weights."""
    order: int | None = None
    """What stands in for the blocks: 0 the last residual, 1 the line through the last two. None: on a pipeline, where
    the calibration measured a schedule with so many computed steps, weighted sums of the computed outputs go to its
    scheduler, and no part of the denoiser runs at a skipped step (`rollouts.py`): calls of one's own to the denoiser
    amidst a run, from a callback say, are answered from memory then. (A loop of one's own that does not go through the
    pipeline's scheduler wants the cache on the transformer.) Otherwise 1."""

    def __post_init__(self) -> None:
        RunConfig.__post_init__(self)
        object.__setattr__(self, "steps", tuple(int(step) for step in self.steps))
        if (self.computed is None) == (not self.steps):
            raise ValueError("give steps, or computed and a calibration beside the weights")
        if self.calibration is not None and self.computed is None:
            raise ValueError("calibration goes with computed; a list of steps needs none")
        if self.computed is not None and not 1 < self.computed < float("inf"):
            raise ValueError(f"computed must be more than 1, got {self.computed!r}")
        if self.steps and (self.steps[0] < 0 or list(self.steps) != sorted(set(self.steps))):
            raise ValueError(f"steps must be a growing list of step numbers from 0 on, got {self.steps!r}")
        if self.num_inference_steps is not None and self.steps and self.steps[-1] >= self.num_inference_steps:
            raise ValueError(f"steps end with {self.steps[-1]}, beyond num_inference_steps {self.num_inference_steps}")
        if self.order not in (None, 0, 1):
            raise ValueError(f"order must be 0, 1 or left out, got {self.order!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncached:
    """Compute every step: statistics of an uncached run, measured exactly as those of a cached one."""


CacheConfig = TeaCacheConfig | AdaptiveConfig | ScheduleConfig | Uncached
