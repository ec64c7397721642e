"""Rows whose actors die, hang or can't come to life, and storage that can't be written to, on a Ray of two CPUs."""

import collections
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from jobs.config.job import Job
from jobs.errors import JobFailed, Refused
from jobs.rows import Written
from jobs.run import generate
from tests.jobs.conftest import MODEL, WriteShard
from tests.jobs.test_outlook import note

BuildJob = Callable[..., Job]

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data")


def run(job: Job, **options: Any) -> str:
    said = io.StringIO()
    generate(job, Console(file=said, width=200), **options)
    return said.getvalue()


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    found = pq.read_table(folder).to_pylist() if folder.exists() else []
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


@pytest.mark.slow
def test_prompts_that_kill_or_hang_fail_after_two_deaths_and_all_others_are_made(
    job: BuildJob, shard: WriteShard, log: Path, tmp_path: Path
) -> None:
    prompts = ["a", "die", "b", "c", "lose", "d", "hang", "e", "f"]
    shard("a.parquet", id=prompts, prompt=prompts)
    slow = {"batch_size": 3, "batch_timeout_seconds": 4}
    said = run(job(actors=slow, audit={"fraction": 0}))
    assert "rows went with their actors; each is tried on its own" in said
    done, failed = rows(tmp_path / "out" / "manifest"), rows(tmp_path / "out" / "failed")
    assert set(done) == set("abcdef")
    assert {row_id: row["error"] for row_id, row in failed.items()} == {
        "die": "ActorDied: an actor died twice while making this row",
        "hang": "TimeoutError: not done within actors.batch_timeout_seconds = 4",
        "lose": "DeviceLost: RuntimeError: CUDA error: device-side assert triggered",
    }
    assert len(list(tmp_path.glob("out/media/**/*.png"))) == 6
    tries = collections.Counter(log.read_text().split())
    # What waits behind a row that kills goes with its actor, but was not begun.
    assert tries["die"] == 2
    assert tries["hang"] in (1, 2)
    assert tries["lose"] in (1, 2)
    assert not (tmp_path / "out" / "lease.json").exists()

    # The failed rows again, one of them mended: those and no others.
    log.unlink()
    shard("a.parquet", id=prompts, prompt=["mended" if prompt == "die" else prompt for prompt in prompts])
    shard("b.parquet", id=["new"], prompt=["new"])
    with pytest.raises(JobFailed, match=r"1 row\(s\) were never tried; the same command without --retry-failed"):
        run(job(actors=slow, audit={"fraction": 0}), retry_failed=True)
    assert set(rows(tmp_path / "out" / "manifest")) == {*"abcdef", "die"}
    assert set(rows(tmp_path / "out" / "failed")) == {"hang", "lose"}
    assert not set(log.read_text().split()) & {*"abcdef", "new"}
    assert "test: 1 rows to do" in run(job(actors=slow, audit={"fraction": 0}))

    # What is done is not made from another prompt.
    shard("b.parquet", id=["new"], prompt=["newer"])
    with pytest.raises(
        Refused, match=r"1 row\(s\) that model flux has done were edited since, first 'new' in b.parquet"
    ):
        run(job(actors=slow, audit={"fraction": 0}))


@pytest.mark.slow
@pytest.mark.usefixtures("log")
def test_many_prompts_that_kill_do_not_end_the_job(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    """Each takes several batches with it: those that wait, and those that Ray hands out before it knows."""
    prompts = ["die" if number % 6 == 1 else "x" for number in range(60)]
    shard("a.parquet", id=[f"r{number}" for number in range(60)], prompt=prompts)
    run(job(actors={"batch_size": 2}, audit={"fraction": 0}))
    done, failed = rows(tmp_path / "out" / "manifest"), rows(tmp_path / "out" / "failed")
    assert len(done) == 50
    assert {row["prompt"] for row in failed.values()} == {"die"}


@pytest.mark.usefixtures("log")
def test_a_retry_that_is_refused_or_cut_short_forgets_no_failure(
    job: BuildJob, shard: WriteShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard("a.parquet", id=["a", "b", "c"], prompt=["a", "b", "c"])
    built = job(audit={"fraction": 0})
    note(built, a={"error": "ValueError: no"}, b={"error": "ValueError: no"}, c={})
    with pytest.raises(Refused, match="offload: group keeps weights off a GPU"):
        run(built.model_copy(update={"model": built.each_model[0].model_copy(update={"offload": "group"})}),
            retry_failed=True)  # fmt: skip

    def interrupted(*_: object) -> Iterator[Written]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr("jobs.tries.run_task", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(built, retry_failed=True)
    assert set(rows(tmp_path / "out" / "failed")) == {"a", "b"}
    assert "test: 2 rows to do" in run(built, retry_failed=True)
    assert set(rows(tmp_path / "out" / "manifest")) == {"a", "b", "c"}
    assert not rows(tmp_path / "out" / "failed")


@pytest.mark.usefixtures("log")
def test_an_actor_that_cannot_load_its_model_ends_the_job(job: BuildJob, shard: WriteShard) -> None:
    shard("a.parquet", prompt=["a", "b"])
    with pytest.raises(JobFailed, match="model unloadable: can't be loaded: OSError: no weights") as failed:
        run(job(model={**MODEL, "name": "unloadable"}))
    assert "\n" not in str(failed.value)


@pytest.mark.slow
@pytest.mark.usefixtures("log")
def test_a_model_that_kills_its_actor_as_it_loads_is_no_loop(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["a", "b"], prompt=["a", "b"])
    run(job(model={**MODEL, "name": "fatal"}))
    assert set(rows(tmp_path / "out" / "failed")) == {"a", "b"}


@pytest.mark.usefixtures("log")
def test_a_job_that_can_store_nothing_stops_early(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=[f"r{number}" for number in range(60)], prompt=["x"] * 60)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "media").touch()
    with pytest.raises(JobFailed, match="model flux: 3 batches in a row could not be written"):
        run(job(audit={"fraction": 0}))
    failed = rows(tmp_path / "out" / "failed")
    assert 9 <= len(failed) < 60
    assert all(row["error"].startswith("WriteFailed: ") for row in failed.values())
    (tmp_path / "out" / "media").unlink()
    with pytest.raises(JobFailed, match=f"{60 - len(failed)} row.s. were never tried"):
        run(job(audit={"fraction": 0}), retry_failed=True)
    run(job(audit={"fraction": 0}))
    assert len(rows(tmp_path / "out" / "manifest")) == 60
    assert not rows(tmp_path / "out" / "failed")


@pytest.mark.usefixtures("log")
def test_a_shard_that_is_cut_short_is_named_and_the_others_are_made(
    job: BuildJob, shard: WriteShard, tmp_path: Path
) -> None:
    shard("a.parquet", id=["a"], prompt=["a"])
    cut = shard("b.parquet", id=["b"], prompt=["b"])
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(Refused, match=r"b\.parquet is not a readable Parquet file.*--skip_unreadable_shards true"):
        run(job(audit={"fraction": 0}))
    said = io.StringIO()
    with pytest.raises(JobFailed, match=r"1 shard\(s\) of prompts could not be read and were skipped; all else is"):
        generate(job(audit={"fraction": 0}, skip_unreadable_shards=True), Console(file=said, width=200))
    assert "skipped: prompts: " in said.getvalue()
    assert "b.parquet" in said.getvalue()
    assert set(rows(tmp_path / "out" / "manifest")) == {"a"}
