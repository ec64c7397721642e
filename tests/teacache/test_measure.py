"""Measured schedules of a pipeline whose guidance takes calls of its own, from calibration to use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import Lumina2Pipeline
from torch import Tensor

import teacache
from teacache.quadrature import Outputs, Steps
from teacache.rollouts import _Runs
from teacache.scheduling import Schedule
from teacache.sensitivity import result_gains
from tests.teacache.tiny.lumina2 import captions, make_pipeline

STEPS = 8
CALL: dict[str, Any] = {"num_inference_steps": STEPS, "height": 64, "width": 64, "guidance_scale": 4.0}
PROMPTS = ["a", "bb"]


@pytest.fixture
def pipe() -> Lumina2Pipeline:
    def encode(prompt: str | list[str], do_classifier_free_guidance: bool, **unused: Any) -> tuple[Tensor, ...]:
        lengths = [len(each) for each in ([prompt] if isinstance(prompt, str) else prompt)]
        others = [50 + length for length in lengths]
        return *captions(lengths, False, torch.float32), *captions(others, False, torch.float32)

    pipe = make_pipeline()
    pipe.transformer.requires_grad_(False)
    pipe.encode_prompt = encode
    return pipe


def calibrated(pipe: Lumina2Pipeline, **call: Any) -> teacache.Calibration:
    return teacache.calibrate(pipe, PROMPTS, degree=1, held_out=0, seed=1, measured=[2, 4], **CALL, **call)


def run(pipe: Lumina2Pipeline, **call: Any) -> Tensor:
    generators = [torch.Generator().manual_seed(1 + number) for number in range(len(PROMPTS))]
    latents: Tensor = pipe(prompt=PROMPTS, generator=generators, output_type="latent", return_dict=False,
                           **CALL, **call)[0]  # fmt: skip
    return latents


def error_of(result: Tensor, uncached: Tensor) -> float:
    noise = torch.cat([torch.randn((1, *result.shape[1:]), generator=torch.Generator().manual_seed(1 + number))
                       for number in range(len(PROMPTS))])  # fmt: skip
    return float((result - uncached).norm() / (uncached - noise).norm())


def test_few_steps_are_measured_with_and_without_guidance_at_the_first_and_err_as_measured(
    pipe: Lumina2Pipeline, tmp_path: Path
) -> None:
    calibration = calibrated(pipe)
    measured = calibration.measured["transformer"]
    assert [(each.computed, each.branches, len(each.weights[0])) for each in measured] == [
        (2, 2, 4), (1.5, 2, 2), (4, 2, 4)
    ]  # fmt: skip
    file = str(calibration.save(tmp_path))
    assert teacache.Calibration.load(file) == calibration
    uncached = run(pipe)
    for schedule in measured:
        config = teacache.ScheduleConfig(computed=schedule.computed, calibration=file)
        with teacache.enabled(pipe, config) as cache:
            result = run(pipe)
        masks = [[step for step, computed in enumerate(call.computed[0]) if computed] for call in cache.stats.calls]
        assert masks == [list(schedule.steps), [step for step in schedule.steps if step not in schedule.unguided]]
        assert error_of(result, uncached) == pytest.approx(schedule.error, rel=0.02)


def test_guidance_that_ends_before_the_run_is_measured_and_followed(pipe: Lumina2Pipeline, tmp_path: Path) -> None:
    calibration = calibrated(pipe, cfg_trunc_ratio=0.5)
    file = str(calibration.save(tmp_path))
    assert teacache.Calibration.load(file) == calibration
    uncached, schedule = run(pipe, cfg_trunc_ratio=0.5), calibration.schedule(4)
    assert (schedule.branches, len(schedule.weights[-1]) < 1 + 3 * 4) == (2, True)
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=4, calibration=file)):
        assert error_of(run(pipe, cfg_trunc_ratio=0.5), uncached) == pytest.approx(schedule.error, rel=0.02)


def test_without_guidance_an_unguided_schedule_warns_and_follows_lines(pipe: Lumina2Pipeline, tmp_path: Path) -> None:
    file = str(calibrated(pipe).save(tmp_path))
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=1.5, calibration=file)):
        with pytest.warns(UserWarning, match="measured with 2 guidance branches"):
            pipe(prompt=PROMPTS, output_type="latent", **{**CALL, "guidance_scale": 1.0})


def test_files_of_before_there_were_unguided_steps_are_read(pipe: Lumina2Pipeline, tmp_path: Path) -> None:
    calibration = calibrated(pipe)
    file = calibration.save(tmp_path)
    stored = json.loads(file.read_text())
    (guided,) = [each for each in stored["measured"]["transformer"] if len(each["steps"]) == 4]
    stored["measured"]["transformer"] = [{name: guided[name] for name in ("steps", "error", "weights")}]
    file.write_text(json.dumps(stored))
    assert teacache.Calibration.load(file).schedule(4) == calibration.schedule(4)


def test_several_pictures_per_prompt_are_refused_at_once(pipe: Lumina2Pipeline) -> None:
    with pytest.raises(ValueError, match="one picture per prompt, got num_images_per_prompt=2"):
        calibrated(pipe, num_images_per_prompt=2)


class Told(_Runs):
    """The pictures are the better, the nearer the second step is to one that nobody proposes."""

    def __init__(self, broken: Steps = ()) -> None:
        self.broken = broken
        self.asked: list[Steps] = []

    def _under(self, steps: Steps, unguided: Steps, gains: Any) -> tuple[float, Schedule]:
        self.asked.append(steps)
        error = float("inf") if steps == self.broken else 1.0 + abs(steps[1] - 9)
        return error, Schedule(steps=steps, error=0.0, unguided=unguided)


def test_the_pictures_tell_which_list_is_the_best_and_those_near_it_are_tried() -> None:
    outputs, told = Outputs(first_step=0, products=(), gains=(1.0,) * 28), Told()
    assert told.search(outputs, {(0, 4), (0, 20)}).steps == (0, 9)
    assert told.asked[:3] == [(0, 4), (0, 20), (0, 1)]  # from the better one, in strides that shrink with the count
    assert len(told.asked) <= 28 // 2
    few = Told()
    assert few.search(outputs, {tuple(range(0, 28, 2)), tuple(range(14))}, unguided=True).unguided == (0,)
    assert len(few.asked) == 2  # each of them is half a run
    assert Told(broken=(0, 4)).search(outputs, {(0, 4), (0, 20)}).steps != (0, 4)


def test_pictures_that_are_no_numbers_are_the_worst(pipe: Lumina2Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = _Runs(pipe, PROMPTS, (1, 2), CALL)
    gains, run = result_gains(pipe.scheduler), runs._run
    assert runs._under((0, 4), (), gains)[0] < float("inf")
    monkeypatch.setattr(runs, "_run", lambda: run() * float("nan"))
    assert runs._under((0, 4), (), gains)[0] == float("inf")
