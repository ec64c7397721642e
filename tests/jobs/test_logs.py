"""The log lines of a real run, and of rows that would forge one."""

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.logs import log_model, log_rows, logging_config
from jobs.rows import Row, table, values
from jobs.runs import Tags
from tests.jobs.test_rows import made

TAGS = Tags(run="night-1", model="flux")


@pytest.fixture(scope="module")
def lines(exported: Path) -> list[dict[str, Any]]:
    """What workers logged about the job, each line parsed."""
    logs = (path.read_text() for path in (exported / "logs").glob("worker-*.err"))
    objects = [json.loads(line) for log in logs for line in log.splitlines() if line.startswith("{")]
    return [line for line in objects if line["name"] == "jobs"]


def test_a_run_logs_every_row_once_with_run_model_row_and_actor(lines: list[dict[str, Any]], exported: Path) -> None:
    rows = [*pq.read_table(exported / "out/manifest").to_pylist(), *pq.read_table(exported / "out/failed").to_pylist()]
    assert sorted(line["row"] for line in lines) == sorted(row["id"] for row in rows)
    actors = {row["id"]: row["actor"] for row in rows}
    for line in lines:
        assert line["run"].startswith("exported-2")
        assert line["model"] == "flux"
        assert line["actor"] == actors[line["row"]] != ""
    assert len({line["run"] for line in lines}) == 1


def test_a_failed_row_is_a_warning_with_its_error(lines: list[dict[str, Any]]) -> None:
    (failed,) = (line for line in lines if line["levelname"] == "WARNING")
    assert failed["row"] == "prompts.parquet#6"
    assert failed["error"].startswith("ValueError: asked for height 50")
    assert all(line["seconds"] > 0 for line in lines if line is not failed)


def test_an_id_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    rows = [made(id="a\nINFO all is well", error="ValueError: no"), made(id="b")]
    with caplog.at_level(logging.INFO, "jobs"):
        log_rows(table(Row, [Row(**values(row, Row)) for row in rows]), TAGS)
    assert [record.getMessage() for record in caplog.records] == [
        "row 'a\\nINFO all is well' failed: ValueError: no",
        "row 'b' done",
    ]


def test_a_line_about_the_model_belongs_to_no_row(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "jobs"):
        log_model("model ends", TAGS, done=3)
    (record,) = caplog.records
    assert {name: record.__dict__[name] for name in ("run", "model", "row", "actor", "done")} == {
        "run": "night-1",
        "model": "flux",
        "row": None,
        "actor": None,
        "done": 3,
    }


def test_text_leaves_logging_as_it_is() -> None:
    assert logging_config("text") is None
