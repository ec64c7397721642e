import re

import pytest

from jobs.runs import RUN_VARIABLE, current_run, new_run


def test_a_run_is_named_by_job_date_and_time() -> None:
    assert re.fullmatch(r"fox\.1-20\d{6}-\d{6}-[0-9a-f]{4}", new_run("fox.1"))
    assert len({new_run("fox") for _ in range(3)}) == 3


def test_a_submitted_run_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    assert current_run("fox").startswith("fox-20")
    monkeypatch.setenv(RUN_VARIABLE, "night-7")
    assert current_run("fox") == "night-7"
