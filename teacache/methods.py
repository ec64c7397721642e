"""From a config to what a branch needs: when the blocks are computed, and what stands in for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from teacache.branches import UNCACHED, Method
from teacache.checkpoint import Checkpoint
from teacache.coefficients import find_calibration, find_recipe
from teacache.configs import AdaptiveConfig, CacheConfig, ScheduleConfig, TeaCacheConfig, Uncached
from teacache.errors import CoefficientsError
from teacache.outputs import WeightedOutputs
from teacache.policies import Adaptive, Policy, TeaCache
from teacache.policies import Schedule as FixedSteps
from teacache.predictors import Extrapolation
from teacache.recipe import Recipe
from teacache.scheduling import Schedule
from teacache.trajectories import Progress


def method_of(config: CacheConfig, progress: Progress, checkpoint: Checkpoint) -> tuple[Method, str]:
    """How the branches of a denoiser are cached, and the name of the indicator that it takes.

    Raises:
        CoefficientsError: TeaCacheConfig without coefficients, and none are known for the model; or the calibration
            that a schedule needs is missing or does not apply.
    """
    if isinstance(config, Uncached):
        return UNCACHED, ""
    if isinstance(config, ScheduleConfig) and config.computed is not None:
        lines = config.order is not None or progress.scheduler() is None  # nobody to hand sums of outputs to
        schedule, total = _calibrated(config, config.computed, checkpoint, lines=lines)
        config = replace(config, steps=schedule.steps, computed=None, calibration=None, num_inference_steps=total)
        if schedule.weights:
            return _weighted(config, schedule), ""
    recipe = find_recipe(config, checkpoint) if isinstance(config, TeaCacheConfig) else None
    method = Method(
        policy=_policy(config, progress, recipe),
        predictor=partial(
            Extrapolation,
            1 if config.order is None else config.order,
            dtype=config.torch_dtype,
            device=config.residual_device,
        ),
        granularity=config.granularity,
    )
    return method, "" if recipe is None else recipe.indicator


def _policy(
    config: TeaCacheConfig | AdaptiveConfig | ScheduleConfig, progress: Progress, recipe: Recipe | None
) -> Callable[[int | None], Policy]:
    if isinstance(config, ScheduleConfig):
        return partial(_schedule, config)
    if isinstance(config, AdaptiveConfig):
        return lambda total: Adaptive(config, progress.sensitivities())
    assert recipe is not None
    return partial(TeaCache, config, recipe)


def _weighted(config: ScheduleConfig, schedule: Schedule) -> Method:
    """The scheduler gets sums of computed outputs: steps run whole or not at all, nothing stands in for the stack."""

    def supply(total: int | None) -> WeightedOutputs:
        _check_total(config, total)
        return WeightedOutputs(schedule)

    return replace(UNCACHED, supply=supply)


def _calibrated(
    config: ScheduleConfig, computed: float, checkpoint: Checkpoint, *, lines: bool
) -> tuple[Schedule, int]:
    """The calibrated schedule, and the number of steps that it is for."""
    calibration = find_calibration(checkpoint, config.calibration)
    if calibration is None:
        raise CoefficientsError(
            f"no calibration with schedules lies beside the model. Make one: {checkpoint.calibrating}; "
            "or give ScheduleConfig(steps=...)"
        )
    schedule = calibration.schedule(computed, checkpoint.attribute, lines=lines)
    return schedule, len(calibration.conditions.timesteps)  # MiniMax-H3 has one less than its pipeline is asked for


def _schedule(config: ScheduleConfig, total: int | None) -> FixedSteps:
    _check_total(config, total)
    return FixedSteps(config)


def _check_total(config: ScheduleConfig, total: int | None) -> None:
    if None not in (total, config.num_inference_steps) and total != config.num_inference_steps:
        raise ValueError(
            f"the schedule is for {config.num_inference_steps} steps and this run has {total}; "
            "calibrate one for this number of steps, or run with the schedule's"
        )
