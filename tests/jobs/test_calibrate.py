"""Calibrating a job's model over Ray, with the packaged model: a few prompts, few steps."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import teacache
from jobs.calibrate import calibrate
from jobs.config.job import Job
from jobs.demo.models import load
from jobs.errors import JobFailed, Refused
from tests.jobs.conftest import WriteShard

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("cluster"),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data"),
]

GENERATION: dict[str, Any] = {"num_inference_steps": 5, "width": 64, "height": 64, "max_sequence_length": 16}
WORDS = ["a red ring", "a blue square on a white background", "green"]


def test_a_job_is_calibrated_as_the_pipeline_alone_would_be(
    job: Callable[..., Job], shard: WriteShard, tmp_path: Path
) -> None:
    shard("a.parquet", prompt=WORDS, seed=[5, 6, 7])
    # A cache that needs what is to be measured must not stand in its way.
    uncalibrated = {"pipeline": "demo/flux", "dtype": "float32", "cache": {"method": "schedule", "computed": 3}}
    (done,) = calibrate(job(model=uncalibrated, generation=GENERATION), Console(file=io.StringIO()), num_prompts=3)
    assert done.url == f"{tmp_path}/out/calibration/flux.json"
    alone = teacache.calibrate(load("flux"), WORDS, seed=5, guidance_scale=3.5, **GENERATION)
    assert teacache.Calibration.load(tmp_path / "out/calibration/flux.json") == done.calibration
    assert done.calibration.conditions == alone.conditions
    found, expected = done.calibration.polynomial(), alone.polynomial()
    assert found.pairs == expected.pairs == 2 * 4  # two prompts of three, four pairs of steps
    assert found.fitted_range == pytest.approx(expected.fitted_range, rel=1e-4)
    assert [each.steps for each in done.calibration.schedules["transformer"]] == [
        each.steps for each in alone.schedules["transformer"]
    ]
    for measured, by_itself in zip(
        done.calibration.measured["transformer"], alone.measured["transformer"], strict=True
    ):
        assert measured.steps == by_itself.steps
        assert measured.error == pytest.approx(by_itself.error, rel=1e-3)
    assert done.calibration.schedule(3).weights
    config = teacache.ScheduleConfig(computed=3, calibration=str(tmp_path / "out/calibration/flux.json"))
    teacache.enable(load("flux"), config)


def test_prompts_of_several_shapes_are_refused(job: Callable[..., Job], shard: WriteShard) -> None:
    shard("a.parquet", prompt=WORDS, height=[64, 32, 64])
    with pytest.raises(Refused, match="the first 3 prompts are of several sizes"):
        calibrate(job(generation=GENERATION), Console(file=io.StringIO()), num_prompts=3)


def test_too_few_steps_to_fit_end_in_one_line(job: Callable[..., Job], shard: WriteShard) -> None:
    shard("a.parquet", prompt=WORDS[:1])
    with pytest.raises(JobFailed, match="4 pairs of steps are too few for degree 4; give more prompts or steps"):
        calibrate(job(generation=GENERATION), Console(file=io.StringIO()), num_prompts=3)
