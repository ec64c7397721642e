import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.config.job import Job
from tests.jobs.conftest import WriteShard

PROMPT = "a large green ring at the top on a white background"


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["generate", *arguments])
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prompts", "{tmp}/nothing"], "refused: prompts: can't list {tmp}/nothing"),
        (["--prompts", "{tmp}/column.parquet"], "refused: prompts: column.parquet has no column prompt"),
        (["--prompts", "{tmp}/text.parquet"], "refused: prompts: text.parquet is not a readable Parquet file"),
        (["--prompts", "{tmp}/twice.parquet"], "refused: prompts: 1 duplicate id(s), first 'x' in twice.parquet"),
        (["--output", "{tmp}/text.parquet"], "refused: output: can't write {tmp}/text.parquet"),
        (["--model.pipeline", "{tmp}"], "refused: model {model}: {tmp} is no pipeline folder"),
        (["--generation.steps", "3"], "refused: generation.steps: FluxPipeline of model flux takes no steps; known: "),
        (["--actor.count", "3"], "refused: job: unknown key actor (did you mean actors?)"),
        (["--actors.count", "some"], "refused: job: actors.count: "),
        (["--output", "memory://x"], "refused: output: memory://x is this process's memory, which no worker sees; "),
        (["--prompts", "memory://x"], "refused: prompts: memory://x is this process's memory, which no worker sees; "),
        (["--price_per_hour", ".inf"], "refused: job: price_per_hour: Input should be a finite number, got inf"),
        (["--prompts", "{tmp}/good", "--output", "{tmp}/good/out"], "refused: output: the next run would read file://"),
        (["{tmp}/job.yaml"], "refused: {tmp}/job.yaml: unknown key promts (did you mean prompts?)"),
        (["{tmp}/text.parquet"], "refused: {tmp}/text.parquet: a job file is a mapping of keys to values, got str"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_ray_starts(
    arguments: list[str], sentence: str, shard: WriteShard, tmp_path: Path
) -> None:
    folder = shard("column.parquet", text=["x"]).parent
    shard("good/a.parquet", prompt=["x"])
    shard("twice.parquet", id=["x", "x"], prompt=["a", "b"])
    (folder / "text.parquet").write_text("a fox")
    (folder / "job.yaml").write_text("promts: here\nname: x\nprompts: p\noutput: o\nmodel: {pipeline: demo/flux}\n")
    code, error = invoke("--output", f"{tmp_path}/out", *(argument.format(tmp=folder) for argument in arguments))
    assert code == 2
    assert error.startswith(sentence.format(tmp=folder, model=folder.name))
    assert error.count("\n") == 1
    assert not ray.is_initialized()


def test_a_fault_of_ours_is_told_in_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("jobs.run.generate", fail)
    code, error = invoke()
    assert code == 1
    assert error.startswith("internal error: KeyError: 'surprise'; traceback in ")
    assert error.count("\n") == 1
    file = Path(error.split()[-1])
    assert 'raise KeyError("surprise")' in file.read_text()
    file.unlink()


def test_help_is_quick_and_lists_the_fields() -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "jobs", "generate", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--actors.batch_size" in result.stdout
    assert "torch" not in result.stderr
    assert "| ray" not in result.stderr


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_one_line(job: Callable[..., Job], shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", prompt=[PROMPT] * 12)
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job().model_dump(mode="json", exclude={"models"}, exclude_unset=True)))
    command = [sys.executable, "-m", "jobs", "generate", str(file), "--model.variant", "nope"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    # Ray warns of its own internals whenever an actor starts.
    lines = [line for line in ended.stderr.splitlines() if "core_worker.cc" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("failed: model flux: ")
    assert "variant=nope" in lines[0]


@pytest.mark.slow
def test_an_interrupted_job_goes_on_where_it_was(job: Callable[..., Job], shard: WriteShard, tmp_path: Path) -> None:
    """By signal and command line, as a user does it; the only test that starts Ray from the outside."""
    shard("a.parquet", prompt=[PROMPT] * 9)
    file = tmp_path / "job.yaml"
    fields = job(generation={"num_inference_steps": 20, "width": 64, "height": 64, "max_sequence_length": 16})
    file.write_text(yaml.safe_dump(fields.model_dump(mode="json", exclude={"models"}, exclude_unset=True)))
    command = [sys.executable, "-m", "jobs", "generate", str(file), "--audit.fraction", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(line.startswith("flux: 3 of 9 rows") for line in process.stdout)
        os.kill(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=300)
    assert "interrupted; the same command goes on from here" in error
    assert process.returncode == 130
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / "manifest").iterdir()}

    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "Traceback" not in again.stderr
    assert "rows done" in again.stdout
    after = {path.name: path.read_bytes() for path in (tmp_path / "out" / "manifest").iterdir()}
    assert before.items() <= after.items()
    ids = [row["id"] for row in pq.read_table(tmp_path / "out" / "manifest").to_pylist()]
    assert sorted(ids) == sorted(f"a.parquet#{index}" for index in range(9))
