"""Runs out of the ordinary, in real pipelines: very short ones, steps by sigmas, callbacks, interruption, guidance that
leaves layers out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler

import teacache
from tests.teacache.test_models import EXTREME, skipping, steps_computed
from tests.teacache.tiny import TINY
from tests.teacache.variants import SWEPT

SHORT = ("CogVideoXPipeline", "FluxPipeline", "Lumina2Pipeline", "LTXPipeline")


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize(
    ("config", "of_three"),
    [
        (EXTREME, (0, 2)),
        (teacache.AdaptiveConfig(tolerance=1e9), (0, 1, 2)),
        (teacache.ScheduleConfig(steps=(0,)), (0,)),
    ],
    ids=["TeaCache", "Adaptive", "Schedule"],
)
@pytest.mark.parametrize("guided", [False, True], ids=["unguided", "guided"])
def test_runs_of_one_two_and_three_steps(
    name: str,
    config: teacache.TeaCacheConfig | teacache.AdaptiveConfig | teacache.ScheduleConfig,
    of_three: tuple[int, ...],
    guided: bool,
) -> None:
    tiny = SWEPT[name]
    pipe = tiny.make()
    uncached = [tiny.generate(pipe, steps=steps, guided=guided) for steps in (1, 2)]
    with teacache.enabled(pipe, config) as cache:
        for _ in range(2):
            one, two = (tiny.generate(pipe, steps=steps, guided=guided) for steps in (1, 2))
            assert torch.equal(one, uncached[0])
            assert torch.equal(two, uncached[1]) is not isinstance(config, teacache.ScheduleConfig)
        before = cache.take_stats()
        tiny.generate(pipe, steps=3, guided=guided)
    branches = 2 if guided and tiny.guidance == "calls" else 1
    assert before.steps == 2 * branches * (1 + 2)
    assert steps_computed(cache.stats) == {of_three}


@pytest.mark.parametrize("name", ["FluxPipeline", "Lumina2Pipeline"])
def test_steps_given_by_sigmas(name: str) -> None:
    tiny = SWEPT[name]
    pipe = tiny.make()
    sigmas = np.linspace(1.0, 0.2, 7)
    with teacache.enabled(pipe, EXTREME) as cache:
        tiny.generate(pipe, steps=28, sigmas=sigmas)
        tiny.generate(pipe, steps=5, sigmas=sigmas)
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    assert len(cache.stats.calls) == 2


@pytest.mark.some_classes
@pytest.mark.parametrize("name", SWEPT)
def test_a_callback_that_changes_nothing_changes_nothing(name: str) -> None:
    tiny = SWEPT[name]
    pipe = tiny.make()
    seen = []

    def look(pipe: Any, step: int, timestep: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        seen.append(step)
        return arguments

    with teacache.enabled(pipe, EXTREME):
        assert torch.equal(tiny.generate(pipe, steps=4), tiny.generate(pipe, steps=4, callback_on_step_end=look))
    assert len(seen) == 4 * tiny.runs
    assert seen[:4] == list(range(4))


@pytest.mark.parametrize("name", ["CogVideoXPipeline", "FluxPipeline", "MochiPipeline"])
def test_a_run_that_is_interrupted_is_not_counted_and_leaves_nothing(name: str) -> None:
    tiny = SWEPT[name]
    pipe = tiny.make()

    def interrupt(pipe: Any, step: int, timestep: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = step >= 3
        return arguments

    with teacache.enabled(pipe, skipping(tiny)) as cache:
        fresh = tiny.generate(pipe)
        expected = cache.take_stats().steps
        tiny.generate(pipe, seeds=(7,), callback_on_step_end=interrupt)
        assert cache.stats.steps == 0
        assert torch.equal(tiny.generate(pipe), fresh)
    assert cache.stats.steps == expected


@pytest.mark.parametrize("skip_guidance_layers", [[1], [0], [3], [0, 1, 2, 3]], ids=str)
def test_sd3_guidance_that_leaves_layers_out(skip_guidance_layers: list[int]) -> None:
    """A third branch from the second step on; layers that the model does not call may be the first or the last ones."""
    tiny = TINY["StableDiffusion3Pipeline"]
    arguments: dict[str, Any] = {
        "guided": True, "steps": 7, "skip_guidance_layers": skip_guidance_layers, "skip_layer_guidance_stop": 0.8,
    }  # fmt: skip
    pipe = tiny.make()
    uncached = tiny.generate(pipe, **arguments)
    with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0, coefficients=(1.0, 0.0))):
        assert torch.equal(tiny.generate(pipe, **arguments), uncached)
    with teacache.enabled(pipe, EXTREME) as cache:
        first, second = (tiny.generate(pipe, **arguments) for _ in range(2))
    assert torch.equal(first, second)
    calls = cache.stats.calls[:2]
    assert [(call.branch, call.steps) for call in calls] == [("0", 7), ("1", 5)]
    assert calls[0].skipped == 4
    assert (calls[1].skipped > 0) is (skip_guidance_layers == [1])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' DPM-Solver
@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("StableDiffusion3Pipeline", FlowMatchHeunDiscreteScheduler()),
        (
            "StableDiffusion3Pipeline",
            DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
        ),
        ("HiDreamImagePipeline", UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")),
    ],
    ids=["Heun", "DPM-Solver", "UniPC"],
)
def test_other_schedulers(name: str, scheduler: Any) -> None:
    """Heun calls the denoiser twice at most steps; each call counts as a step."""
    tiny = SWEPT[name]
    pipe = tiny.make()
    pipe.scheduler = scheduler
    uncached = tiny.generate(pipe, steps=9)
    for config in (skipping(tiny), teacache.AdaptiveConfig(tolerance=0.1)):
        with teacache.enabled(pipe, config) as cache:
            first, second = (tiny.generate(pipe, steps=9) for _ in range(2))
        assert torch.equal(first, second)
        assert cache.stats.steps == 2 * len(pipe.scheduler.timesteps)
        assert 0 < cache.stats.skipped
        assert all(call.computed[0][0] and call.computed[0][-1] for call in cache.stats.calls)
    assert torch.isfinite(uncached).all()
