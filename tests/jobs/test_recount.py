import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import storage
from jobs.accounting.recount import recounted
from jobs.accounting.summary import VERSION
from jobs.errors import Refused
from jobs.output.manifest import write_batch
from jobs.paths import Output
from jobs.rows import Row, table
from tests.jobs.test_statistics import rows
from tests.jobs.test_summary import summary


def test_rows_are_counted_anew_and_the_run_is_as_noted(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path / "night"))
    write_batch(table(Row, rows()), output)
    stats = recounted(output)
    assert (stats["job"], stats["version"], stats["models"]["flux"]["done"]) == ("night", VERSION, 5)
    assert stats["models"]["flux"]["run"]["done"] == 0

    storage.write(output.stats, summary(price_per_hour=3600.0).to_json().encode())
    write_batch(table(Row, [replace(rows()[0], id="later")]), output)
    stats = recounted(output)
    assert (stats["job"], stats["models"]["flux"]["done"], stats["models"]["flux"]["cost"]) == ("fox", 6, 20.0)
    assert stats["models"]["flux"]["run"]["rows_per_second"] == 0.1
    assert stats["created_at"] == json.loads(Path(output.stats).read_text())["created_at"]


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"holds no job: neither manifest/ nor stats\.json"):
        recounted(Output(url=str(tmp_path)))
    (tmp_path / "stats.json").write_text("{")
    with pytest.raises(Refused, match=r"stats\.json: no statistics of a job"):
        recounted(Output(url=str(tmp_path)))
