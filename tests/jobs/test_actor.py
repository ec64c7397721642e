"""The actor without Ray: what is told to it, and what it leaves behind. Its life under Ray: test_tries.py."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from queue import Empty, Queue
from threading import Semaphore

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import storage
from jobs.actors.actor import Actor, Setup, failed
from jobs.actors.batches import ending, packed, unpacked
from jobs.actors.spool import Spool
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.media.finish import nothing
from jobs.output.lease import Note
from jobs.paths import Output
from jobs.rows import Made, Sample, Written, schema, table, values
from tests.jobs import fakes
from tests.jobs.conftest import MODEL
from tests.jobs.test_rows import made


def setup(folder: Path, *, last_try: bool = False, seconds: float = 60, name: str = "flux", parts: int = 1) -> Setup:
    model = {**MODEL, "cache": {"method": "none"}, "name": name, "context_parallel": parts}
    return Setup(
        model=Model.model_validate(model),
        cache="{}",
        generation=Generation(),
        actors=Actors(num_gpus=0, batch_timeout_seconds=seconds),
        audit_fraction=0.0,
        output=Output(url=str(folder)),
        storage_options={},
        lease="",
        run="run",
        spool=Spool(key=hashlib.sha256(str(folder).encode()).hexdigest()),
        last_try=last_try,
    )


def samples(*prompts: str) -> pa.Table:
    shared = {"height": 64, "width": 64, "num_frames": None, "num_inference_steps": 4}
    rows = [made(id=f"r{number}", prompt=prompt, **shared) for number, prompt in enumerate(prompts)]
    return packed(table(Sample, [Sample(**values(row, Sample)) for row in rows]))


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    import jobs.actors.loading

    monkeypatch.setattr(jobs.actors.loading, "load", fakes.fake_load)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def written(made: pa.Table) -> Written:
    return replace(nothing(), done=len(made))


def call(actor: Actor, batch: pa.Table) -> Written:
    (counts,) = actor(batch).to_pylist()
    return Written(**counts)


@pytest.mark.usefixtures("faked")
def test_a_batch_is_made_and_finished(tmp_path: Path) -> None:
    finished: list[pa.Table] = []
    actor = Actor(setup(tmp_path), lambda made: finished.append(made) or written(made))  # type: ignore[func-returns-value]
    assert call(actor, samples("x", "nan", "flat", "raise")).done == 4
    (rows,) = finished
    assert rows.schema == schema(Made)
    errors = [each["error"].partition(":")[0] for each in rows.to_pylist()]
    assert errors == ["", "ValueError", "ValueError", "RuntimeError"]
    assert [each["pixels"] is None for each in rows.to_pylist()] == [False, True, True, True]


@pytest.mark.usefixtures("faked")
def test_while_a_batch_is_finished_the_next_is_made_and_none_more(tmp_path: Path) -> None:
    """By two callers, as many as Ray is told to let in."""
    made: Queue[str] = Queue()
    durable = Semaphore(0)

    def finish(rows: pa.Table) -> Written:
        made.put(rows["prompt"][0].as_py())
        assert durable.acquire(timeout=60)
        return written(rows)

    def kept() -> list[str]:
        return sorted(rows["prompt"][0].as_py() for _, rows in setup(tmp_path).spool.left())

    actor = Actor(setup(tmp_path), finish)
    with ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(call, actor, samples(prompt)) for prompt in "abc"]
        assert sorted(made.get(timeout=60) for _ in range(2)) == ["a", "b"]
        with pytest.raises(Empty):
            made.get(timeout=0.3)
        assert kept() == ["a", "b"]
        durable.release()
        assert made.get(timeout=60) == "c"
        durable.release(2)
        assert [each.result().done for each in calls] == [1, 1, 1]
    assert kept() == []


@pytest.mark.usefixtures("faked")
def test_a_batch_is_kept_before_the_next_is_begun(tmp_path: Path) -> None:
    """So that a kill at any moment costs the one in generation and no other."""
    given, kept = setup(tmp_path), []

    def generate(batch: pa.Table) -> pa.Table:
        kept.append([rows["prompt"][0].as_py() for _, rows in given.spool.left()])
        return batch

    def finish(rows: pa.Table) -> Written:
        time.sleep(0.5)
        return written(rows)

    actor = Actor(given, finish)
    actor._generate = generate
    with ThreadPoolExecutor(2) as callers:
        list(callers.map(lambda prompt: call(actor, samples(prompt)), "ab"))
    assert [len(each) for each in kept] == [0, 1]


@pytest.mark.usefixtures("faked")
def test_what_ends_the_job_is_passed_on(tmp_path: Path) -> None:
    assert call(Actor(setup(tmp_path), written), ending("no prompts")).ended == "no prompts"
    broken = Actor(setup(tmp_path, name="unloadable"), written)
    assert call(broken, samples("x")).ended == "can't be loaded: OSError: no weights"


@pytest.mark.usefixtures("faked")
def test_what_another_run_took_over_is_not_written(tmp_path: Path) -> None:
    note = Note(owner="me", host="h", pid=1, namespace="")

    def hold(owner: str) -> None:
        storage.write(f"{tmp_path}/lease.json", json.dumps(asdict(replace(note, owner=owner))).encode())

    hold("me")
    actor = Actor(replace(setup(tmp_path), lease="me"), written)
    assert call(actor, samples("x")).done == 1
    generate = actor._generate
    assert generate is not None

    def taken_over(batch: pa.Table) -> pa.Table:
        hold("another")
        actor._glance._until = 0.0
        return generate(batch)

    actor._generate = taken_over
    assert call(actor, samples("x")).ended == "another run writes to the output now"
    assert (call(actor, samples("x")).done, call(actor, samples("x")).ended) == (0, "")


def test_failed_rows_say_all_that_is_known(tmp_path: Path) -> None:
    rows, _ = unpacked(samples("x", "y"))
    (first, second) = (Made(**row) for row in failed(rows, setup(tmp_path), "ActorDied: twice").to_pylist())
    assert (first.id, first.prompt, first.error, first.pixels) == ("r0", "x", "ActorDied: twice", None)
    assert (second.id, second.model, second.batch_size) == ("r1", "flux", 2)


ACT = """
import sys, pickle
from pathlib import Path
from jobs.actors.actor import Actor
from jobs.config.media import Media
from jobs.media.codecs import settled
from jobs.media.finish import Finish
from tests.jobs import fakes
from tests.jobs.test_actor import samples, setup
fakes.install()
class Parting:
    def __init__(self, *arguments):
        self.give_up = arguments[-1]
    def __call__(self, batch):
        self.give_up(ChildProcessError("process 2 of 2 ended with exit code -9"))
fakes._replace("jobs.actors.ranks", Ranks=Parting)
folder, seconds, prompt = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
given = setup(folder, seconds=seconds, last_try="last" in sys.argv, parts=2 if prompt == "part" else 1)
actor = Actor(given, Finish(output=given.output, media=settled(Media(), video=False), kept_share=0.0, tags=fakes.TAGS))
print("ready", flush=True)
actor(samples(prompt))
print("made", flush=True)
actor(samples("again"))
print("not reached", flush=True)
"""


def act(*arguments: str) -> subprocess.Popen[str]:
    """Without torch, which would take longer than all else."""
    command, environment = [sys.executable, "-c", ACT, *arguments], {**os.environ, fakes.ALL: "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def rows(folder: Path) -> list[dict[str, object]]:
    return pq.read_table(folder).to_pylist() if folder.exists() else []


def test_on_sigterm_the_batch_in_hand_is_finished_and_written(tmp_path: Path) -> None:
    with act(str(tmp_path), "60", "sleep 2") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "made\n"
        assert process.wait() == 0
    assert [row["prompt"] for row in rows(tmp_path / "manifest")] == ["sleep 2"]
    assert len(list(tmp_path.glob("media/**/*.png"))) == 1


LATE = "TimeoutError: not done within actors.batch_timeout_seconds = 1"
LOST = "DeviceLost: RuntimeError: CUDA error: device-side assert triggered"
PARTED = "ChildProcessError: process 2 of 2 ended with exit code -9"


@pytest.mark.parametrize(("prompt", "error"), [("hang", LATE), ("part", PARTED), ("lose", LOST)])
@pytest.mark.parametrize("last", [False, True])
def test_a_call_that_has_no_end_ends_its_process_and_is_noted_on_the_last_try(
    tmp_path: Path, prompt: str, error: str, last: bool
) -> None:
    with act(str(tmp_path), "1", prompt, *(["last"] if last else [])) as process:
        assert process.wait(timeout=300) == 1
    assert [row["error"] for row in rows(tmp_path / "failed")] == ([error] if last else [])
    assert os.listdir(tmp_path) == (["failed"] if last else [])
