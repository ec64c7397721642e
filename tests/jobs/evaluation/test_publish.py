import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from rich.console import Console

from jobs.config.job import Job
from jobs.config.load import DEMO, DEMO_JOBS, load_job
from jobs.config.targets import Target
from jobs.errors import JobFailed
from jobs.evaluation.evaluate import Tried
from jobs.evaluation.publish import fragment, publish, write_fragment
from jobs.evaluation.settings import Setting, fewer_steps
from jobs.evaluation.trials import Trial
from tests.jobs.evaluation.conftest import MakeTrial, setting

BuildJob = Callable[..., Job]

DEMO_FILE = str(DEMO_JOBS[DEMO])
FEWER = fewer_steps(10)[0]
BOLD = setting("adaptive", 0.4)


def tried(job: Job, make: MakeTrial, *settings: Setting, **figures: object) -> Tried:
    trials: list[Trial] = [
        make(each, f"{part}-{number}", part=part, computed=7 - 2 * place, **figures)
        for place, each in enumerate(settings)
        for part in ("choose", "confirm")
        for number in range(2)
    ]
    return Tried(model=job.each_model[0], target=Target(psnr=35), settings=settings, trials=trials, notes=["a note"])


def test_everything_is_written_and_the_fragment_is_a_job(
    job: BuildJob, trial: MakeTrial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(width=160)
    published = publish(tried(job(), trial, FEWER, BOLD), job(), console)
    folder = tmp_path / "out" / "evaluation" / "flux"
    assert pq.read_table(folder / "rows.parquet").num_rows == 8
    assert (folder / "frontier.svg").read_text().count("recommended: adaptive, 0.4") == 1
    with Image.open(folder / "frontier.png") as picture:
        assert picture.size[0] > 600
    figures = json.loads((folder / "evaluation.json").read_text())
    assert [each["saving"] for each in figures["settings"]] == [pytest.approx(10 / 7), 2.0]
    assert figures["confirmed"]["psnr"]["value"] == 40.0
    page = (folder / "evaluation.md").read_text()
    assert "| * | adaptive, 0.4 | 2.00x | 2.00x [2.00, 2.00] | 40.0 [40.0, 40.0], 40.0 |" in page
    assert "a note" in page
    assert "recommended for psnr >= 35: adaptive, 0.4: 2.00x less compute" in capsys.readouterr().out
    place = write_fragment([published], job())
    assert Path(place) == tmp_path / "out" / "evaluation" / "recommended.yaml"
    loaded = load_job([DEMO_FILE, place])
    assert loaded.model is not None
    assert loaded.model.cache.config == BOLD.cache.config
    assert loaded.model.pipeline == "demo/flux"


def test_the_same_figures_are_the_same_plot(job: BuildJob, trial: MakeTrial, tmp_path: Path) -> None:
    plots = []
    for _ in range(2):
        publish(tried(job(), trial, BOLD), job(), Console(quiet=True))
        plots.append((tmp_path / "out/evaluation/flux/frontier.svg").read_bytes())
    assert plots[0] == plots[1]


def test_fewer_steps_are_a_fragment_too(job: BuildJob, trial: MakeTrial, tmp_path: Path) -> None:
    published = publish(tried(job(), trial, FEWER), job(), Console(quiet=True))
    loaded = load_job([DEMO_FILE, write_fragment([published], job())])
    assert loaded.generation.num_inference_steps == FEWER.num_inference_steps
    assert (loaded.generation.width, loaded.each_model[0].cache.method) == (64, "none")
    # Where the job can't have them, the next best.
    both = publish(tried(job(), trial, BOLD, FEWER), job(), Console(quiet=True), caches_only=True)
    assert both.recommendation.setting == BOLD


def test_of_several_models_each_keeps_its_own(job: BuildJob, trial: MakeTrial, tmp_path: Path) -> None:
    names = [{"pipeline": "demo/flux", "name": name, "dtype": "float32"} for name in ("one", "two", "three")]
    several = job(model=None, models=names)
    settings = [BOLD, setting("adaptive", 0.1), setting("teacache", 0.3)]
    published = [publish(tried(several, trial, each), several, Console(quiet=True)) for each in settings]
    found = fragment(published, several)
    assert [model["name"] for model in found["models"]] == ["one", "two", "three"]
    base = tmp_path / "job.yaml"
    base.write_text(yaml.safe_dump(several.model_dump(mode="json", exclude_unset=True, exclude_none=True)))
    loaded = load_job([str(base), write_fragment(published, several)])
    assert [model.cache.config for model in loaded.models] == [each.cache.config for each in settings]
    assert {model.dtype for model in loaded.models} == {"float32"}


def test_where_all_failed_the_first_error_is_told(job: BuildJob, trial: MakeTrial) -> None:
    broken = tried(job(), trial, BOLD, error="uncached: OSError: no")
    with pytest.raises(JobFailed, match="model flux: every trial failed; the first: uncached: OSError: no"):
        publish(broken, job(), Console(quiet=True))


def test_what_is_identical_is_called_so(job: BuildJob, trial: MakeTrial, tmp_path: Path) -> None:
    publish(tried(job(), trial, BOLD, psnr=100.0), job(), Console(quiet=True))
    assert "| identical |" in (tmp_path / "out/evaluation/flux/evaluation.md").read_text()
