"""`plan`: what a job would do, from prompts, manifest and earlier runs, with nothing started and nothing written."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from jobs import preflight
from jobs.cli import app
from jobs.config.job import Job
from jobs.outlook import Outlook, outlook
from jobs.output.manifest import write_batch
from jobs.paths import Output
from jobs.rows import Row, table, values
from tests.jobs.conftest import MODEL, WriteShard
from tests.jobs.test_rows import made

BuildJob = Callable[..., Job]
SHAPE = {"height": 64, "width": 64, "num_frames": None, "num_inference_steps": 3}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")


def note(job: Job, **rows: dict[str, object]) -> None:
    """Manifest rows of these ids, made from what the prompts say now."""
    from jobs.ids import digests

    found = preflight.checked(job).scan
    says = dict(zip(found.ids.tolist(), found.fingerprints.view("int64").tolist(), strict=True))
    known = [
        made(id=row_id, fingerprint=says[int(digests([row_id])[0])], **{**SHAPE, "seconds": 7.2, **changes})
        for row_id, changes in rows.items()
    ]
    write_batch(table(Row, [Row(**values(row, Row)) for row in known]), Output(url=job.output))


def shown(found: Outlook) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(found.table())
    for line in found.lines():
        console.print(line, markup=False, soft_wrap=True)
    return console.export_text()


def cells(text: str, model: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip(" │").startswith(model)]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_rows_by_state_shapes_hours_and_cost(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["a", "b", "c", "d"], prompt=["x"] * 4)
    shard("b.parquet", id=["e"], prompt=["x"], height=[96])
    built = job(price_per_hour=2.5)
    note(built, a={}, b={}, c={"error": "ValueError: no"})
    text = shown(outlook(built, earlier=None))
    assert "test: 5 rows in 2 shards" in text
    # Rows as wide take 7.2 s; the one half as high again, 10.8 s. Of 4 * 7.2 + 10.8 = 39.6 s for all, two rows of five
    # are left: 15.84 s = 0.0044 h.
    assert cells(text, "flux") == ["flux", "2", "1", "0", "2", "0.0044", "0.0044", "0.01"]
    assert "shape height 64, width 64, num_inference_steps 3: 4 rows" in text
    assert "shape height 96, width 64, num_inference_steps 3: 1 rows" in text
    assert "no Ray cluster runs here" in text
    assert "refused" not in text
    assert not (tmp_path / "out" / "job.json").exists()


def test_a_job_without_earlier_rows_names_the_way_to_an_estimate(
    job: BuildJob, shard: WriteShard, tmp_path: Path
) -> None:
    shard("a.parquet", id=["a", "b"], prompt=["x"] * 2)
    text = shown(outlook(job(), earlier=None))
    assert cells(text, "flux") == ["flux", "0", "0", "0", "2", "-", "-", "-"]
    assert "no earlier rows to estimate from; name another job's output with --earlier" in text
    assert not (tmp_path / "out").exists()
    note(job(output=str(tmp_path / "other")), a={"seconds": 3.6})
    assert cells(shown(outlook(job(), earlier=str(tmp_path / "other"))), "flux")[5:7] == ["0.002", "0.002"]


def test_each_model_has_hours_and_room_of_its_own_actors(
    job: BuildJob, shard: WriteShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard("a.parquet", id=["a", "b"], prompt=["x"] * 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    models = [{**MODEL, "name": "one"}, {**MODEL, "name": "many", "actors": {"count": 4}}]
    built = job(model=None, models=models)
    note(built, a={"model": "one"}, b={"model": "many"})
    text = shown(outlook(built, earlier=None))
    # 7.2 s = 0.002 h are left of each.
    assert cells(text, "one")[5:7] == ["0.002", "0.002"]
    assert cells(text, "many")[5:7] == ["0.002", "0.0005"]
    assert "with 2 CPUs has room" in text
    assert "with 2 CPUs may have no room: lower actors.count" in text


def test_what_generate_would_refuse_is_told_all_at_once(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["a", "b"], prompt=["x", "y"])
    note(job(), a={}, b={"error": "ValueError: no"})
    (tmp_path / "out" / "job.json").write_text('{"seed": 7}')
    shard("a.parquet", id=["a", "b", "b"], prompt=["edited", "y", "y"])
    found = outlook(job(), earlier=None)
    reasons = iter(found.refusals)
    assert "1 duplicate id(s), first 'b'" in next(reasons)
    assert "holds rows made with" in next(reasons)
    assert "1 row(s) that model flux has done were edited since, first 'a' in a.parquet" in next(reasons)
    assert cells(shown(found), "flux")[:5] == ["flux", "1", "1", "1", "0"]


def test_shards_that_would_be_skipped_are_named(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["a"], prompt=["x"])
    (tmp_path / "prompts" / "b.parquet").write_bytes(b"PAR1 cut short")
    found = outlook(job(skip_unreadable_shards=True), earlier=None)
    assert found.num_rows == 1
    assert "skipped: prompts: b.parquet is not a readable Parquet file: " in shown(found)


@pytest.mark.parametrize(("ids", "code"), [(["a", "b"], 0), (["a", "a"], 2)])
def test_the_command_says_by_its_exit_code_whether_the_job_can_run(
    ids: list[str], code: int, shard: WriteShard, tmp_path: Path
) -> None:
    shard("a.parquet", id=ids, prompt=["x", "x"])
    arguments: list[Any] = ["--prompts", tmp_path / "prompts", "--output", tmp_path / "out"]
    ended = CliRunner().invoke(app, ["plan", *map(str, arguments)])
    assert ended.exit_code == code, ended.output
    assert ("would be refused: prompts: 1 duplicate id(s)" in ended.stdout) == bool(code)
    assert "demo-flux" in ended.stdout
