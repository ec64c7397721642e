"""One pipeline in two processes on the CPU, against one process. Each pair has a leader that is no process of pytest's:
where one of a pair ends, so does the other.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from jobs.actors import loading
from jobs.actors.generate import Generate
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.rows import Made, Sample, table
from tests.jobs.conftest import MODEL
from tests.jobs.test_generate import sample

pytestmark = pytest.mark.slow

GIVEN = (
    Model.model_validate({**MODEL, "cache": {"method": "adaptive", "tolerance": 1.0}, "context_parallel": 2}),
    Generation.model_validate({"max_sequence_length": 16}),
    Actors(num_gpus=0, num_cpus=1),
    0.0,
    "",
)
CALLS = [
    [sample("a", num_inference_steps=8, seed=1), sample("b", prompt="a blue square", num_inference_steps=8, seed=2)],
    [sample("c", height=65)],  # fails in both
    [sample("d", num_inference_steps=8, seed=3)],
]

LEAD = """
import os, signal, sys
import pyarrow as pa
from tests.jobs import test_ranks
if __name__ == "__mp_main__":
    test_ranks.break_down(sys.argv[2])
else:
    from jobs.errors import JobFailed
    from jobs.actors.ranks import Ranks
    from jobs.rows import Sample, table
    for number in (signal.SIGINT, signal.SIGTERM):  # as an actor that has a batch in hand
        signal.signal(number, lambda *_: None)
    print("begun", flush=True)
    try:
        ranks = Ranks(*test_ranks.GIVEN, test_ranks.give_up)
    except JobFailed as error:
        sys.exit(f"JobFailed: {error}")
    with pa.OSFile(sys.argv[1], "wb") as file:
        made = pa.concat_tables([ranks(table(Sample, call)) for call in test_ranks.CALLS])
        with pa.ipc.new_file(file, made.schema) as writer:
            writer.write_table(made)
    print("made", flush=True)
    sys.stdin.read()
"""


def give_up(error: Exception) -> None:
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def break_down(how: str) -> None:
    """In the follower alone."""

    def load(*_: object) -> None:
        if how == "raises":
            raise ValueError("no room")
        if how == "dies":
            os._exit(7)
        time.sleep(300)

    if how:
        loading.load = load  # type: ignore[assignment]


@contextmanager
def leader(folder: Path, how: str = "") -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process that makes what is in CALLS with another one, which breaks down so; and that one."""
    script, temporary = folder / "lead.py", folder / "tmp"
    script.write_text(LEAD)
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder / "made"), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process, follower_of(process)
        finally:
            process.kill()
    assert list(temporary.iterdir()) == []


def follower_of(process: subprocess.Popen[str]) -> psutil.Process:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for child in psutil.Process(process.pid).children():
            if "spawn_main" in str(child.cmdline()):
                return child
        time.sleep(0.01)
    raise AssertionError("no follower has come")


def pixels(row: Made) -> NDArray[np.int64]:
    assert row.pixels is not None
    return np.frombuffer(row.pixels, np.uint8).astype(np.int64)


def rows(made: pa.Table) -> dict[str, Made]:
    return {row["id"]: Made(**row) for row in made.to_pylist()}


@pytest.mark.parametrize("victim", ["leader", "follower"])
def test_two_processes_make_what_one_makes_and_end_together(tmp_path: Path, victim: str) -> None:
    """Nor are they parted by signals that come to both, as from a terminal or with a node that goes."""
    with leader(tmp_path) as (process, follower):
        for number in (signal.SIGINT, signal.SIGTERM):
            os.killpg(process.pid, number)
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        for number in (signal.SIGINT, signal.SIGTERM):
            follower.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        (process if victim == "leader" else follower).kill()
        assert process.wait(timeout=60) == (-9 if victim == "leader" else 1)
        assert psutil.wait_procs([follower], timeout=60)[1] == []
        said = "" if process.stderr is None else process.stderr.read()
        assert ("ChildProcessError: process 2 of 2 ended with exit code -9" in said) is (victim == "follower")
    with pa.memory_map(str(tmp_path / "made")) as file:
        shared = rows(pa.ipc.open_file(file).read_all())
    generate = Generate(*GIVEN)
    alone = rows(pa.concat_tables([generate(table(Sample, call)) for call in CALLS]))
    assert {row.computed_mask for row in alone.values()} & {"1" * 8, None} == {None}
    for row_id, row in alone.items():
        assert (shared[row_id].computed_mask, shared[row_id].error) == (row.computed_mask, row.error)
        if not row.error:
            assert abs(pixels(shared[row_id]) - pixels(row)).max() <= 1


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "process 2 of 2: can't be loaded: ValueError: no room"),
        ("dies", "can't be loaded: process 2 of 2 ended with exit code 7"),
    ],
)
def test_one_that_can_not_load_ends_the_job_with_its_reason(tmp_path: Path, how: str, reason: str) -> None:
    with leader(tmp_path, how) as (process, follower):
        _, said = process.communicate(timeout=120)
        assert f"JobFailed: {reason}\n" in said
        assert process.returncode == 1
        assert psutil.wait_procs([follower], timeout=60)[1] == []


def test_one_that_is_still_loading_ends_with_the_first(tmp_path: Path) -> None:
    with leader(tmp_path, "hangs") as (process, follower):
        process.kill()
        process.wait()
        assert psutil.wait_procs([follower], timeout=60)[1] == []
