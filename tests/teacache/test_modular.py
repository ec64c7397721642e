"""Modular pipelines, as far as the tests of all pipelines leave anything out: those that nobody has loaded yet or whose
parts somebody changes, several denoisers, and a calibration beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ClassifierFreeGuidance, FlowMatchEulerDiscreteScheduler
from diffusers.modular_pipelines.flux.modular_blocks_flux import FluxCoreDenoiseStep
from diffusers.modular_pipelines.minimax_h3.denoise import MiniMaxH3Ref2VADenoiseStep
from diffusers.modular_pipelines.minimax_h3.modular_blocks_minimax_h3 import MiniMaxH3CoreDenoiseStep

import teacache
from tests.teacache.modular_variants import make_echo
from tests.teacache.test_calibration import CALL, PROMPTS, PromptedFlux
from tests.teacache.test_calibration import prompted as prompted
from tests.teacache.test_hooks import Abort, hooks_on
from tests.teacache.test_models import EXTREME, STEPS, decisions, skipping, steps_computed
from tests.teacache.tiny import TINY, flux, minimax_h3, modular
from tests.teacache.tiny.base import quiet
from tests.teacache.variants import SWEPT

tiny = TINY["FluxModularPipeline"]


def test_one_whose_transformer_is_not_loaded_has_nothing_to_cache() -> None:
    with pytest.raises(teacache.UnsupportedModelError, match="FluxModularPipeline has no transformer to cache"):
        teacache.enable(FluxCoreDenoiseStep().init_pipeline(), EXTREME)


def test_one_whose_scheduler_is_not_loaded_is_refused() -> None:
    """Without it nobody would tell the last step, which is to be computed."""
    pipe = FluxCoreDenoiseStep().init_pipeline()
    pipe.update_components(transformer=flux.make_transformer())
    with pytest.raises(ValueError, match=r"scheduler of FluxModularPipeline, .*, is not loaded yet"):
        teacache.enable(pipe, EXTREME)
    assert hooks_on(pipe.transformer) == []
    with teacache.enabled(pipe.transformer, EXTREME) as cache:
        pipe.update_components(scheduler=FlowMatchEulerDiscreteScheduler())
        tiny.generate(quiet(pipe), steps=STEPS)
    assert [call.steps for call in cache.stats.calls] == [STEPS]


def test_it_uses_the_calibration_of_another_pipeline_in_its_folder(prompted: PromptedFlux, tmp_path: Path) -> None:
    tiny.make().save_pretrained(str(tmp_path), overwrite_modular_index=True)
    pipe = FluxCoreDenoiseStep().init_pipeline(str(tmp_path))
    pipe.update_components(transformer=prompted.transformer, scheduler=prompted.scheduler)
    call = {**CALL, "num_inference_steps": STEPS}
    calibration = teacache.calibrate(prompted, PROMPTS, degree=1, measured=(3,), **call)
    calibration.save(tmp_path)
    uncached = tiny.generate(quiet(pipe), steps=STEPS)
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=3)) as cache:
        assert not torch.equal(tiny.generate(pipe, steps=STEPS), uncached)
    (measured,) = calibration.measured["transformer"]
    assert steps_computed(cache.stats) == {measured.steps}


@pytest.mark.parametrize("step", [0, 3])
def test_a_block_that_raises_leaves_nothing_behind(step: int) -> None:
    """Behind the denoiser and before the scheduler."""
    pipe, calls = tiny.make(), 0
    with teacache.enabled(pipe, skipping(tiny)) as cache:
        fresh = tiny.generate(pipe, steps=STEPS)
        expected = decisions(cache.take_stats())
        original = pipe.scheduler.step

        def fail(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > step:
                raise Abort
            return original(*args, **kwargs)

        pipe.scheduler.step = fail
        with pytest.raises(Abort):
            tiny.generate(pipe, seeds=(7,), steps=STEPS)
        del pipe.scheduler.step
        assert cache.stats == teacache.Stats()
        assert torch.equal(tiny.generate(pipe, steps=STEPS), fresh)
        assert decisions(cache.stats) == expected


def test_another_scheduler_in_its_place_is_followed() -> None:
    pipe = tiny.make()
    with teacache.enabled(pipe, EXTREME) as cache:
        expected = tiny.generate(pipe, steps=STEPS)
        pipe.update_components(scheduler=FlowMatchEulerDiscreteScheduler())
        assert torch.equal(tiny.generate(pipe, steps=STEPS), expected)
    assert len(cache.stats.calls) == 2
    assert steps_computed(cache.stats) == {(0, 3, 6)}


@pytest.mark.parametrize("guided", [False, True], ids=["unguided", "guided"])
def test_both_denoisers_of_wan_2_2_are_cached(guided: bool) -> None:
    pipe = modular.make_two_denoisers()
    uncached = modular.generate_wan(pipe, steps=10, guided=guided)
    with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0, coefficients=(1.0, 0.0))):
        assert torch.equal(modular.generate_wan(pipe, steps=10, guided=guided), uncached)
    with teacache.enabled(pipe, EXTREME) as cache:
        first, second = (modular.generate_wan(pipe, steps=10, guided=guided) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, uncached)
    calls = cache.stats.calls
    assert len(calls) == 2 * 2 * (1 + guided)
    assert all(call.skipped > 0 for call in calls)
    assert sum(call.steps for call in calls) == 2 * 10 * (1 + guided)
    assert hooks_on(pipe.transformer) == hooks_on(pipe.transformer_2) == []


@pytest.mark.parametrize("stop", [0.8, 0.95])
def test_steps_of_both_denoisers_count_where_guidance_stops_before_the_end(stop: float) -> None:
    """0.95 of 10 steps: only the last one is unguided."""
    pipe = modular.make_two_denoisers()
    pipe.update_components(guider_2=ClassifierFreeGuidance(guidance_scale=4.0, stop=stop))
    with teacache.enabled(pipe, EXTREME) as cache:
        modular.generate_wan(pipe, steps=10, guided=True)
        once = decisions(cache.take_stats())
        for _ in range(2):
            modular.generate_wan(pipe, steps=10, guided=True)
    assert len(once) == 2 * 2
    assert sorted(decisions(cache.stats), key=repr) == sorted(2 * once, key=repr)


@pytest.mark.parametrize("attribute", ["transformer", "transformer_2"])
def test_a_run_that_dies_in_one_of_two_denoisers_is_counted_in_neither(attribute: str) -> None:
    """In the last of all its calls to that one."""
    pipe, calls = modular.make_two_denoisers(), 0

    def fail_the_second_time(*unused: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2 * first_time:
            raise Abort

    with teacache.enabled(pipe, EXTREME) as cache:
        first_time = 10**9
        getattr(pipe, attribute).proj_out.register_forward_pre_hook(fail_the_second_time)
        fresh = modular.generate_wan(pipe, steps=10, guided=True)
        expected = decisions(cache.take_stats())
        first_time = calls
        with pytest.raises(Abort):
            modular.generate_wan(pipe, seeds=(7,), steps=10, guided=True)
        assert cache.stats == teacache.Stats()
        assert torch.equal(modular.generate_wan(pipe, steps=10, guided=True), fresh)
        assert decisions(cache.stats) == expected


def test_the_denoiser_of_minimax_h3_for_given_references_is_cached() -> None:
    blocks = MiniMaxH3CoreDenoiseStep()
    blocks.sub_blocks["denoise"] = MiniMaxH3Ref2VADenoiseStep()
    pipe = minimax_h3.make_pipeline(blocks, transformer_ref=minimax_h3.make_transformer())
    plain = minimax_h3.make_pipeline()
    with teacache.enabled(pipe, EXTREME) as cache, teacache.enabled(plain, EXTREME):
        assert torch.equal(minimax_h3.generate(pipe, steps=STEPS), minimax_h3.generate(plain, steps=STEPS))
    assert steps_computed(cache.stats) == {(0, 3, 6)}


def test_one_without_a_scheduler_is_told_by_the_config_how_many_steps_there_are() -> None:
    """Echo, as on a transformer alone."""
    pipe = make_echo()
    with teacache.enabled(pipe, teacache.AdaptiveConfig(tolerance=1e9, num_inference_steps=STEPS)) as cache:
        SWEPT["EchoModularPipeline"].generate(pipe, steps=STEPS)
    assert steps_computed(cache.stats) == {(0, 1, 2, STEPS - 1)}


def test_one_without_a_scheduler_is_not_calibrated() -> None:
    """Echo."""
    with pytest.raises(ValueError, match=r"^EchoModularPipeline takes no num_inference_steps"):
        teacache.calibrate(make_echo(), ["a"])
