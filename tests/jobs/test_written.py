from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

import jobs
from jobs.cli import app
from jobs.config.job import Job
from jobs.config.load import DEMO, DEMO_JOBS, load_job
from jobs.config.written import job_schema, written

EXAMPLES = sorted((Path(jobs.__file__).parent / "examples").glob("*.yaml"))
FILES = [*EXAMPLES, *DEMO_JOBS.values()]


def problems(fields: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(job_schema())
    return [error.message for error in validator.iter_errors(fields)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_loads_fits_the_schema_and_survives_being_written(file: Path, tmp_path: Path) -> None:
    job = load_job([str(file)])
    assert problems(yaml.safe_load(file.read_text())) == []
    text = written(job)
    assert problems(yaml.safe_load(text)) == []
    copy = tmp_path / "job.yaml"
    copy.write_text(text)
    again = load_job([str(copy)])
    assert written(again) == text
    assert [model.cache.to_json() for model in again.each_model] == [model.cache.to_json() for model in job.each_model]
    exclude: Any = {"model": {"cache"}, "models": {"__all__": {"cache"}}}
    assert again.model_dump(exclude=exclude) == job.model_dump(exclude=exclude)


def test_the_four_examples_are_there() -> None:
    assert [file.stem.partition("-")[0] for file in EXAMPLES] == ["cogvideox", "flux", "lumina2", "mochi"]


def test_every_default_is_written_out() -> None:
    fields = yaml.safe_load(written(load_job([])))
    assert set(fields) == set(Job.model_fields) - {"models"}
    assert fields["model"]["cache"]["rel_l1_thresh"] == 0.2
    assert fields["audit"]["keep"] == 200


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"actor": {"count": 2}}, "'actor' was unexpected"),
        ({"actors": {"count": 0}}, "0 is less than or equal to the minimum of 0"),
        ({"model": {"pipeline": "a/b", "cache": {"method": "adaptive", "rel_l1_thresh": 1}}}, "is not valid under any"),
        ({"model": {"pipeline": "a/b", "cache": {"rel_l1_thresh": 0.3, "tolerance": 1}}}, "is not valid under any"),
        ({"models": [{"pipeline": "a/b"}]}, "is valid under each of"),
        ({"media": {"format": "gif"}}, "'gif' is not valid under any"),
    ],
)
def test_the_schema_finds_what_an_editor_should_mark(change: dict[str, Any], problem: str) -> None:
    fields = yaml.safe_load(DEMO_JOBS[DEMO].read_text())
    assert any(problem in found for found in problems({**fields, **change}))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    return result.exit_code, result.stdout + result.stderr


def test_the_command_prints_or_refuses() -> None:
    code, text = run("--actors.count", "3")
    assert (code, yaml.safe_load(text)["actors"]["count"]) == (0, 3)
    code, text = run("--output", "/nights/{date}", "--prompts", "demo/prompts")
    assert (code, yaml.safe_load(text)["output"]) == (0, "/nights/{date}")
    assert text.splitlines()[-1].startswith("# By now {date} is 20")
    code, text = run("--schema")
    assert (code, yaml.safe_load(text)) == (0, job_schema())
    code, text = run("--actors.count", "none")
    assert (code, text.count("\n"), text.startswith("refused: job: actors.count: ")) == (2, 1, True)


def test_a_target_fits_the_schema_and_survives_being_written(tmp_path: Path) -> None:
    job = load_job(["--model.cache", "{target: {psnr: 35}, granularity: batch}"])
    text = written(job)
    assert problems(yaml.safe_load(text)) == []
    copy = tmp_path / "job.yaml"
    copy.write_text(text)
    assert load_job([str(copy)]).each_model[0].cache == job.each_model[0].cache
    aimed = {**yaml.safe_load(text), "model": {"pipeline": "a/b", "cache": {"target": {"psnr": 35}, "tolerance": 0.1}}}
    assert problems(aimed) != []
