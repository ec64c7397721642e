"""A few kills on a local output and on S3 behind a bad line. The long one: `pytest -m chaos`, or
`python -m tests.jobs.chaos --kills 20`.
"""

import json
import random
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.rows import strings
from tests.jobs import object_store
from tests.jobs.chaos import BATCH_SIZE, Chaos, check, end
from tests.jobs.object_store import Faults


def suffer(folder: Path, output: str, kills: int, num_rows: int, **environment: str) -> None:
    chaos = Chaos(
        folder=folder, output=output, seed=random.randrange(10**6), num_rows=num_rows, environment=environment
    )
    print(f"seed {chaos.seed}")
    chaos.prepare()
    chaos.kill(kills)
    code = chaos.finish()
    assert code == 0, (folder / "said").read_text()[-3000:]
    figures = check(chaos)
    print(figures)
    # Of one actor: the batch that it was making. The one before, which was being encoded and uploaded, is kept.
    assert figures["rows begun again"] <= BATCH_SIZE * figures["kills"]


@pytest.mark.slow
def test_a_job_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    suffer(tmp_path, str(tmp_path / "out"), kills=2, num_rows=80)


@pytest.mark.slow
def test_a_job_to_s3_over_a_bad_line_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in object_store.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    faults = Faults(refused=0.03, delayed=0.1, cut=0.02)
    with object_store.server() as store, object_store.proxy(store, faults) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        suffer(tmp_path, f"s3://{object_store.BUCKET}/out", kills=1, num_rows=40)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_is_in_hand_be_finished(tmp_path: Path, number: signal.Signals) -> None:
    chaos = Chaos(folder=tmp_path, output=str(tmp_path / "out"), seed=0, num_rows=400)
    chaos.prepare()
    job = chaos.start()
    family = chaos.wait_for_work(job)
    job.send_signal(number)
    try:
        assert job.wait(timeout=200) == 130
    finally:
        end(job, family)
    said = (tmp_path / "said").read_text()
    assert "leaving: the batches in hand are finished first; again to leave at once" in said
    assert "interrupted; the same command goes on from here" in said
    assert "Traceback" not in said
    made = chaos.made()
    assert 0 < len(made) < 400
    assert sorted(strings(pq.read_table(tmp_path / "out" / "manifest")["id"])) == sorted(made)
    assert json.loads((tmp_path / "out" / "stats.json").read_text())["models"]["flux"]["done"] == len(made)
    assert not (tmp_path / "out" / "lease.json").exists()


@pytest.mark.chaos
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_twenty_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    if place == "folder":
        suffer(tmp_path, str(tmp_path / "out"), kills=20, num_rows=800)
        return
    for name, value in object_store.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with object_store.server() as store, object_store.proxy(store, Faults(refused=0.02, cut=0.01)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        suffer(tmp_path, f"s3://{object_store.BUCKET}/out", kills=20, num_rows=800)
