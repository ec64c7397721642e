from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
import torch
from diffusers import (
    CogVideoXDPMScheduler,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FluxPipeline,
    PNDMScheduler,
    RePaintScheduler,
)

import teacache
from teacache.sensitivity import result_gains, sensitivities
from tests.teacache.tiny.flux import generate


def test_euler_moves_by_its_sigma_differences() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(7)
    differences = (scheduler.sigmas[:-1] - scheduler.sigmas[1:]).tolist()
    mean = sum(differences) / 7
    assert sensitivities(scheduler) == pytest.approx([difference / mean for difference in differences], rel=1e-4)


def test_ddim_with_v_prediction_moves_by_its_coefficients() -> None:
    """x_next = a' x0 + b' e with x0 = a x - b v and e = a v + b x, so d x_next / d v = a b' - a' b."""
    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False, timestep_spacing="trailing",
                              rescale_betas_zero_snr=True)  # fmt: skip
    scheduler.set_timesteps(9)
    moves = []
    for timestep in scheduler.timesteps.tolist():
        now, before = scheduler.alphas_cumprod[timestep], timestep - scheduler.config.num_train_timesteps // 9
        then = scheduler.alphas_cumprod[before] if before >= 0 else scheduler.final_alpha_cumprod
        moves.append(float(abs(now.sqrt() * (1 - then).sqrt() - then.sqrt() * (1 - now).sqrt())))
    mean = sum(moves) / 9
    assert sensitivities(scheduler) == pytest.approx([move / mean for move in moves], rel=1e-3)


def test_a_run_in_the_middle_and_the_scheduler_itself_make_no_difference() -> None:
    scheduler = DPMSolverMultistepScheduler()
    scheduler.set_timesteps(6)
    expected = sensitivities(scheduler)
    assert len(expected) == 6
    sample = torch.randn(1, 2)
    for timestep in scheduler.timesteps[:3]:
        sample = scheduler.step(torch.zeros_like(sample), timestep, sample).prev_sample
    assert scheduler.step_index == 3
    assert len(sensitivities(scheduler)) == 6
    assert scheduler.step_index == 3


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        DDIMScheduler(prediction_type="v_prediction", clip_sample=False, rescale_betas_zero_snr=True),
        DPMSolverMultistepScheduler(),
        DDPMScheduler(clip_sample=False),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_a_runs_result_moves_by_its_outputs_times_their_gains(scheduler: DDIMScheduler) -> None:
    scheduler.set_timesteps(6)
    gains = torch.tensor(result_gains(scheduler))
    outputs = torch.randn(6, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    ends = []
    for factor in (0.0, 1.0):
        scheduler.set_timesteps(6)
        sample, generator = torch.ones(1, 4, 8, 8), torch.Generator().manual_seed(2)
        extra = {"generator": generator} if "generator" in signature(scheduler.step).parameters else {}
        for output, timestep in zip(outputs, scheduler.timesteps, strict=True):
            sample = scheduler.step(factor * output, timestep, sample, **extra).prev_sample
        ends.append(sample)
    expected = torch.einsum("s,s...->...", gains, outputs)
    assert torch.allclose(ends[1] - ends[0], expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_the_scheduler_that_leaves_its_last_prediction_to_the_pipeline_is_stepped_as_pipelines_do() -> None:
    """CogVideoX's: what an output of 1 at one step changes in the sample that this step makes."""
    scheduler = CogVideoXDPMScheduler(prediction_type="v_prediction", timestep_spacing="trailing",
                                      rescale_betas_zero_snr=True)  # fmt: skip
    scheduler.set_timesteps(8)
    moves, before, predicted = [], None, None
    sample = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for timestep in scheduler.timesteps:
        made = [scheduler.step(torch.full_like(sample, output), predicted, timestep, before, sample,
                               generator=torch.Generator().manual_seed(2)) for output in (0.0, 1.0)]  # fmt: skip
        moves.append(float((made[1][0] - made[0][0]).abs().mean()))
        (sample, predicted), before = made[0], timestep
    mean = sum(moves) / 8
    assert max(moves) > 2 * min(moves)
    assert sensitivities(scheduler) == pytest.approx([move / mean for move in moves], rel=1e-3)


@pytest.mark.parametrize(
    "scheduler",
    [FlowMatchHeunDiscreteScheduler(), DPMSolverSinglestepScheduler(), PNDMScheduler()],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_what_schedulers_set_up_for_a_run_is_there(scheduler: PNDMScheduler) -> None:
    scheduler.set_timesteps(6)
    weights = sensitivities(scheduler)
    assert len(weights) == len(scheduler.timesteps)
    assert sum(weights) == pytest.approx(len(weights))


@pytest.mark.parametrize(
    "scheduler", [DDIMScheduler(thresholding=True), RePaintScheduler()], ids=["thresholds", "its own step"]
)
def test_others_weigh_the_same(scheduler: DDIMScheduler) -> None:
    scheduler.set_timesteps(5)
    assert sensitivities(scheduler) == ()
    assert result_gains(scheduler) == ()


def test_noise_that_a_scheduler_adds_is_no_movement_and_nobody_elses_is_drawn() -> None:
    scheduler = DDPMScheduler(clip_sample=False)
    scheduler.set_timesteps(5)
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    assert len(sensitivities(scheduler)) == 5
    assert torch.equal(torch.randn(4), expected)


def test_torchs_own_generator_is_not_touched_even_for_a_while() -> None:
    """Another thread may be drawing the noise of its pictures from it."""
    before = torch.get_rng_state()

    class Watching(DDPMScheduler):
        def step(self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, **more: Any) -> Any:
            assert torch.equal(torch.get_rng_state(), before)
            return DDPMScheduler.step(self, model_output, timestep, sample, generator=generator, **more)

    scheduler = Watching(clip_sample=False)
    scheduler.set_timesteps(4)
    assert len(sensitivities(scheduler)) == len(result_gains(scheduler)) == 4


def test_adaptive_weighs_the_steps_of_a_pipeline_and_not_those_of_a_transformer_alone(pipe: FluxPipeline) -> None:
    def computed(target: Any, sigmas: list[float], tolerance: float) -> tuple[bool, ...]:
        steps = None if target is pipe else 12
        config = teacache.AdaptiveConfig(tolerance=tolerance, num_inference_steps=steps)
        with teacache.enabled(target, config) as cache:
            generate(pipe, sigmas=sigmas)
        return cache.stats.calls[0].computed[0]

    even = [1 - step / 12 for step in range(12)]
    assert computed(pipe, even, 0.1) == computed(pipe.transformer, even, 0.1)
    assert not all(computed(pipe, even, 0.1))
    # All but the last of these move the sample by less than the mean, so their errors count for less than 1.
    growing = [1 - 0.01 * step - 0.0035 * step**2 for step in range(12)]
    assert all(computed(pipe.transformer, growing, 0.02))
    assert not all(computed(pipe, growing, 0.02))
