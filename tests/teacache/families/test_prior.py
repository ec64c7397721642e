"""Priors: Shap-E has one of a thousand tokens without text or mask; Stable unCLIP's goes by a scheduler of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import KandinskyV22PriorEmb2EmbPipeline, ShapEImg2ImgPipeline, ShapEPipeline

import teacache
from teacache.cache import denoisers_among
from teacache.registry import model_for
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, steps_computed
from tests.teacache.tiny import prior
from tests.teacache.tiny.base import rows


@pytest.mark.parametrize("kind", [ShapEPipeline, ShapEImg2ImgPipeline])
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_both_calls_of_a_step_of_shap_e_are_steps(kind: Any, seeds: tuple[int, ...]) -> None:
    pipe = prior.make_shap_e(kind)
    uncached = prior.generate_shap_e(pipe, seeds=seeds)
    with teacache.enabled(pipe, teacache.AdaptiveConfig(tolerance=0)) as cache:
        assert torch.equal(prior.generate_shap_e(pipe, seeds=seeds), uncached)
    assert cache.stats.steps == 7 * len(seeds)
    with teacache.enabled(pipe, EXTREME) as cache:
        found = prior.generate_shap_e(pipe, seeds=seeds)
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    with plainly_cached(pipe.prior, model_for(pipe.prior), (0, 3, 6)):
        expected = prior.generate_shap_e(pipe, seeds=seeds)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, uncached, rtol=1e-3, atol=1e-3)


def test_kandinskys_prior_from_an_embedding_starts_in_the_middle() -> None:
    pipe = prior.make_pipeline(KandinskyV22PriorEmb2EmbPipeline)
    arguments: dict[str, Any] = {"image": rows((5,), prior.WIDTH), "strength": 0.5, "steps": 14, "guided": True}
    uncached = prior.generate(pipe, **arguments)
    with teacache.enabled(pipe, teacache.AdaptiveConfig(tolerance=0)):
        assert torch.equal(prior.generate(pipe, **arguments), uncached)
    with teacache.enabled(pipe, EXTREME) as cache:
        found = prior.generate(pipe, **arguments)
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    with plainly_cached(pipe.prior, model_for(pipe.prior), (0, 3, 6)):
        expected = prior.generate(pipe, **arguments)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_kandinskys_prior_is_calibrated_and_follows_what_was_measured(tmp_path: Path) -> None:
    """It makes no latents, so it is told what it makes."""
    pipe = prior.make_pipeline()
    call: dict[str, Any] = {"guidance_scale": 4.0, "num_inference_steps": 8}
    calibration = teacache.calibrate(pipe, ["1", "2"], degree=1, measured=[4], output_type="pt", **call)
    assert calibration.polynomial("prior").pairs == 2 * 7
    (schedule,) = calibration.measured["prior"]
    assert len(schedule.weights) == 8
    uncached = prior.generate(pipe, seeds=(1,), steps=8, guided=True)
    config = teacache.ScheduleConfig(computed=4, calibration=str(calibration.save(tmp_path)))
    with teacache.enabled(pipe, config) as cache:
        found = prior.generate(pipe, seeds=(1,), steps=8, guided=True)
    assert steps_computed(cache.stats) == {schedule.steps}
    assert 0 < float((found - uncached).abs().max()) < 0.1


def test_a_prior_that_goes_by_another_scheduler_than_the_pipeline_is_no_denoiser_of_it() -> None:
    pipe: Any = SimpleNamespace(**prior.make_pipeline().components, prior_scheduler=None)
    with pytest.raises(
        teacache.UnsupportedModelError,
        match=r"has no transformer to cache.* Its prior can be cached: teacache\.enable\(pipe\.prior, \.\.\.\)$",
    ):
        teacache.enable(pipe, EXTREME)
    assert denoisers_among({"prior", "prior_scheduler", "scheduler"}.__contains__) == []
    assert denoisers_among({"prior", "scheduler"}.__contains__) == ["prior"]


def test_shap_e_says_that_no_schedule_is_measured() -> None:
    pipe = prior.make_shap_e()
    call: dict[str, Any] = {"degree": 1, "num_inference_steps": 8, "guidance_scale": 3.0}
    with pytest.warns(UserWarning, match=r"^no schedule can be measured on ShapEPipeline, got measured=\[6\]; "):
        calibration = teacache.calibrate(pipe, ["1", "2"], measured=[6], **call)
    assert calibration.measured == {}
    assert calibration.schedules["prior"]
