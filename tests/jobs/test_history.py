import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.accounting.statistics import Pair, Statistics
from jobs.accounting.summary import Summary
from jobs.cli import app
from jobs.config.job import Alarm
from jobs.errors import Refused
from jobs.nights.history import alarms, changes, models, nightly_runs
from jobs.progress import Tally
from tests.jobs.test_load import YAML

NIGHTS = 9


def night(
    folder: Path, number: int, speedup: float = 2.5, failed: int = 1, alarm: Alarm | None = None, place: str = ""
) -> None:
    """A run of 1,000 rows on that day of the month."""
    wobble = 1 + (number * 7 % 5 - 2) / 100
    pairs = {str(call): Pair(seconds=1.0 + call % 3 / 10, baseline_seconds=speedup * wobble) for call in range(20)}
    model = Statistics(done=1000 - failed, failed=failed, seconds=500.0, pairs=pairs, psnr=(40.0, 41.0 * wobble) * 5)
    run = Tally(done=1000 - failed, failed=failed, seconds=200 * wobble, first_seconds=10.0)
    summary = Summary(
        job="fox", models={"flux": model}, runs={"flux": run}, price_per_hour=None, alarm=alarm or Alarm()
    )
    stats = json.loads(summary.to_json()) | {"created_at": f"2026-11-{number + 1:02}T03:00:00+00:00"}
    run_folder = folder / (place or f"night-{99 - number}")
    run_folder.mkdir(parents=True)
    (run_folder / "stats.json").write_text(json.dumps(stats))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(NIGHTS):
        night(tmp_path, number)
    return tmp_path


def run(*arguments: object, columns: int = 200) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["history", *map(str, arguments)], env={"COLUMNS": str(columns)})
    return result.exit_code, result.stdout + result.stderr


def test_runs_are_found_below_a_folder_and_stand_by_date(folder: Path) -> None:
    night(folder / "more", NIGHTS)
    (folder / "other").mkdir()
    (folder / "other" / "stats.json").write_text('{"version": 1}')
    found = nightly_runs(str(folder))
    assert [each.place for each in found[:2]] == ["night-99", "night-98"]
    assert found[-1].place == "more/night-90"
    assert len(found) == NIGHTS + 1
    assert models(found) == ["flux"]


def test_a_usual_night_is_as_usual_and_rings_nothing(folder: Path) -> None:
    code, text = run(folder)
    assert code == 0
    assert text.count("as usual") == 4
    assert "2026-11-09 03:00" in text


def test_eighty_columns_hold_the_date_and_every_figure(tmp_path: Path) -> None:
    for number in range(NIGHTS):
        night(tmp_path, number, place=f"2026-11-{number + 1:02}")
    _, text = run(tmp_path, columns=80)
    (line,) = (line for line in text.splitlines() if line.count("2026-11-09") == 2)
    assert "2026-11-09 03:00" in line
    assert line.split()[3:] == ["999", "1", "2.26", "5.32", "0.001", "40.3", "dB"]
    assert max(map(len, text.splitlines())) <= 80


def test_a_night_that_is_due_and_left_no_run_rings(tmp_path: Path) -> None:
    night(tmp_path, 0, place="2026-11-01")
    file = tmp_path / "job.yaml"
    lines = [f"output: {tmp_path}/{{date}}" if line.startswith("output: ") else line for line in YAML.splitlines()]
    file.write_text("\n".join([*lines, 'night: {date: "2026-11-01"}']))
    assert run(tmp_path, "--job", file)[0] == 0
    file.write_text("\n".join(lines))
    code, text = run(tmp_path, "--job", file)
    assert (code, ", the latest is 2026-11-01" in text) == (3, True)


def test_what_changed_beyond_noise_is_said(folder: Path) -> None:
    night(folder, NIGHTS, speedup=1.6, failed=60)
    found = changes(nightly_runs(str(folder)), "flux")
    assert {name: each.verdict for name, each in found.items()} == {
        "speedup": "lower",
        "rows_per_second": "as usual",
        "failure_rate": "higher",
        "psnr": "as usual",
    }
    code, text = run(folder)
    assert code == 0
    assert "speed-up: lower than usual (2.28), beyond noise" in text


def test_a_limit_that_is_passed_ends_with_code_3(folder: Path, tmp_path: Path) -> None:
    night(folder, NIGHTS, speedup=1.6, failed=60, alarm=Alarm(min_speedup=1.5, max_failure_rate=0.01))
    code, text = run(folder)
    assert code == 3
    assert "alarm: flux: failure_rate is 0.06, max_failure_rate is 0.01" in text
    assert "speedup is" in text
    file = tmp_path / "job.yaml"
    file.write_text(YAML + "alarm: {max_failure_rate: 0.5}\n")
    assert run(folder, "--job", file)[0] == 0
    file.write_text(YAML + "alarm: {min_rows_per_second: 100}\n")
    code, text = run(folder, "--job", file)
    assert (code, "rows_per_second is" in text) == (3, True)
    assert alarms(nightly_runs(str(folder)), Alarm()) == []


def test_a_folder_without_runs_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"holds no run: no \*/stats\.json of version 2"):
        nightly_runs(str(tmp_path))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "stats.json").write_text("{")
    code, text = run(tmp_path)
    assert (code, text.count("\n")) == (2, 1)


def test_the_page_shows_every_metric(folder: Path) -> None:
    code, text = run(folder, "--to", folder / "history.html")
    assert code == 0
    html = (folder / "history.html").read_text()
    assert f"page: file://{folder}/history.html" in text
    assert html.count("<svg") == 4
    assert html.count("<circle") == 4 * NIGHTS
