"""What stands at the end of a nightly job, over stats.json files as jobs leave them."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from jobs.config.job import Alarm, Job
from jobs.errors import JobFailed
from jobs.nights.history import nightly_runs
from jobs.nights.nightly import look_back, missing, tolerated
from tests.jobs.test_history import night

LATEST = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(LATEST + 1):
        night(tmp_path, number, place=f"2026-11-{number + 1:02}")
    return tmp_path


def job(folder: Path, date: str, **alarm: float) -> Job:
    return Job.model_validate(
        {
            "name": "fox",
            "prompts": "p",
            "output": f"{folder}/{{date}}",
            "night": {"date": date},
            "alarm": alarm,
            "model": {"pipeline": "demo/flux"},
        }
    )


def test_the_night_is_looked_at_among_those_before_it(folder: Path) -> None:
    night(folder, 20, failed=500, place="2026-11-21")
    console = Console(file=io.StringIO(), width=100)
    assert look_back(job(folder, "2026-11-09", min_speedup=1.5, max_failure_rate=0.1), console) == []
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("2026-11-09" in text, "2026-11-21" in text, text.count("as usual")) == (True, False, 4)
    assert "2026-11-21" not in (folder / "history.html").read_text()
    rung = look_back(job(folder, "2026-11-21", max_failure_rate=0.1), console)
    assert rung == ["flux: failure_rate is 0.5, max_failure_rate is 0.1"]
    assert "alarm: flux: failure_rate" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_job_that_is_not_nightly_looks_nowhere(folder: Path) -> None:
    plain = job(folder, "2026-11-09").model_copy(update={"output": str(folder)})
    assert look_back(plain, Console()) == missing(plain, nightly_runs(str(folder))) == []


def test_nights_that_can_not_be_looked_at_are_no_good_night(folder: Path) -> None:
    with pytest.raises(JobFailed, match="all rows were tried, but the nights could not be looked at: "):
        look_back(job(folder, "2026-12-24"), Console(file=io.StringIO()))
    (folder / "2026-11-03" / "stats.json").write_text("{")
    with pytest.raises(JobFailed, match="not the statistics of a job"):
        look_back(job(folder, "2026-11-09"), Console(file=io.StringIO()))


def test_a_night_that_left_no_run_is_missed(folder: Path) -> None:
    runs = nightly_runs(str(folder))
    assert missing(job(folder, "2026-11-09"), runs) == []
    assert missing(job(folder, "2026-11-10"), runs) == ["there is no run 2026-11-10, the latest is 2026-11-09"]


def test_failed_rows_are_tolerated_where_a_nightly_job_limits_them(folder: Path) -> None:
    nightly = job(folder, "2026-11-09", max_failure_rate=0.01)
    assert tolerated(nightly, failed=3)
    assert tolerated(job(folder, "2026-11-09"), failed=0)
    assert not tolerated(job(folder, "2026-11-09"), failed=3)
    assert not tolerated(nightly.model_copy(update={"output": "out"}), failed=3)
    assert Alarm() == job(folder, "2026-11-09").alarm
