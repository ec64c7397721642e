"""Evaluations on a Ray of two CPUs, with the packaged model: a few prompts, six steps."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from jobs.config.job import Job
from jobs.config.targets import Target
from jobs.errors import Refused
from jobs.evaluation.evaluate import Tried, evaluate
from jobs.evaluation.resolve import noted
from jobs.evaluation.trials import Trial
from jobs.run import generate
from tests.jobs.conftest import WriteShard

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("cluster"),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data"),
]

BuildJob = Callable[..., Job]

GENERATION: dict[str, Any] = {"num_inference_steps": 6, "width": 64, "height": 64, "max_sequence_length": 16}
WORDS = ["a red ring", "a blue square on a white background", "green", "a large cross"]


def run(job: Job, **options: Any) -> tuple[Tried, str]:
    log = io.StringIO()
    (tried,) = evaluate(job, Console(file=log, width=200), **options)
    return tried, log.getvalue()


def test_every_setting_is_tried_once_and_beside_its_twin(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", prompt=WORDS)
    small = job(generation=GENERATION, actors={"batch_size": 2})
    tried, log = run(small, only=["schedule"])
    # 6 / 1.5, 6 / 2 and 6 / 2.5 computed steps, as a schedule and as fewer steps.
    assert {(trial.method, trial.computed) for trial in tried.trials} == {
        (method, computed) for method in ("fewer steps", "schedule") for computed in (4, 3, 2)
    }
    assert len(tried.trials) == 6 * len(WORDS)
    assert not any(trial.error for trial in tried.trials)
    assert {trial.part for trial in tried.trials} == {"choose", "confirm"}
    assert "ms_ssim: not measured: pictures are 64 pixels, it needs 176" in log
    files = sorted((tmp_path / "out/evaluation/flux/trials").iterdir())
    assert len(files) == 6 * 2
    before = {file: file.stat().st_mtime_ns for file in files}
    files[0].unlink()
    again, log = run(small, only=["schedule"])
    assert "22 of 24 rows were tried before" in log
    assert [file for file in files if file.stat().st_mtime_ns != before[file]] == files[:1]
    figures = [(trial.id, trial.method, trial.label, trial.psnr, trial.ssim) for trial in again.trials]
    assert figures == [(trial.id, trial.method, trial.label, trial.psnr, trial.ssim) for trial in tried.trials]


def test_after_a_kill_the_same_command_tries_what_is_missing(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", prompt=WORDS)
    small = job(generation=GENERATION, actors={"batch_size": 2})
    given, trials = tmp_path / "job.json", tmp_path / "out/evaluation/flux/trials"
    given.write_text(small.model_dump_json(exclude_unset=True))
    command = [sys.executable, "-m", "jobs", "evaluate", str(given), "--method", "schedule"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        while len(list(trials.glob("*.parquet"))) < 3:
            assert driver.poll() is None
            time.sleep(0.05)
        family = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    assert psutil.wait_procs(family, timeout=120)[1] == []
    before = {file: file.stat().st_mtime_ns for file in trials.glob("*.parquet")}
    assert 3 <= len(before) < 12
    resumed, log = run(small, only=["schedule"])
    assert f"{2 * len(before)} of 24 rows were tried before" in log
    assert {file: file.stat().st_mtime_ns for file in before} == before
    whole, _ = run(small.model_copy(update={"output": str(tmp_path / "whole")}), only=["schedule"])
    assert list(map(without_times, resumed.trials)) == list(map(without_times, whole.trials))
    names = {file.name for file in (tmp_path / "whole/evaluation/flux/trials").iterdir()}
    assert {file.name for file in trials.iterdir()} == names


def without_times(trial: Trial) -> dict[str, Any]:
    return {name: value for name, value in asdict(trial).items() if "seconds" not in name and name != "actor"}


def test_a_target_is_found_before_the_run_and_once(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", prompt=WORDS)
    model = {"pipeline": "demo/flux", "dtype": "float32", "cache": {"method": "schedule", "target": {"psnr": 12}}}
    aimed = job(model=model, generation=GENERATION, audit={"fraction": 0.0})
    log = io.StringIO()
    generate(aimed, Console(file=log, width=200))
    assert "flux: looking for the cheapest cache with psnr >= 12" in log.getvalue()
    caches = [row["cache"] for row in pq.read_table(tmp_path / "out/manifest").to_pylist()]
    assert {json.loads(cache)["method"] for cache in caches} == {"schedule"}
    found = noted(aimed).each_model[0].cache
    assert found.target is None
    assert set(caches) == {found.to_json()}
    shard("b.parquet", prompt=["one more"])
    log = io.StringIO()
    summary = generate(aimed, Console(file=log, width=200))
    assert summary.models["flux"].done == len(WORDS) + 1
    assert "looking for" not in log.getvalue()
    other = job(model={**model, "cache": {"target": {"psnr": 13}}}, generation=GENERATION)
    with pytest.raises(Refused, match="holds rows of model flux that were not made for the target psnr >= 13"):
        generate(other, Console(file=io.StringIO()))


def test_a_measure_that_can_not_be_taken_is_no_target(job: BuildJob, shard: WriteShard) -> None:
    shard("a.parquet", prompt=WORDS)
    with pytest.raises(Refused, match="target ms_ssim can't be measured: pictures are 64 pixels, it needs 176"):
        run(job(generation=GENERATION), target=Target(ms_ssim=0.9))
