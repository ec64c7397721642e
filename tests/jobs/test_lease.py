import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from jobs import storage
from jobs.errors import Refused
from jobs.output import lease
from jobs.output.lease import Glance, Note, held
from jobs.paths import Output

HOLD = """
import sys, time
from jobs.output import lease
from jobs.output.lease import held
from jobs.paths import Output
lease.BEAT = 0.2
with held(Output(url=sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.2)
    monkeypatch.setattr(lease, "PATIENCE", 1.5)
    monkeypatch.setattr(lease, "_GLANCE", 0.0)


@pytest.fixture(params=["{tmp}", "memory://test-lease"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output(url=f"{request.param.format(tmp=tmp_path)}/{tmp_path.name}")


def note(output: Output) -> Note:
    content = storage.read(output.lease)
    assert content is not None
    return Note(**json.loads(content))


def test_a_second_run_is_refused_while_the_first_is_alive(output: Output) -> None:
    with held(output):
        with (
            pytest.raises(Refused, match=rf"another run \(process {os.getpid()} on .*\) is writing there"),
            held(output),
        ):
            pass
        assert note(output).pid == os.getpid()
    assert storage.read(output.lease) is None
    with held(output):
        pass


def test_a_run_that_was_killed_on_this_machine_holds_nothing(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", HOLD, output.url], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=f"process {other.pid} on"), held(output):
            pass
        killed = note(output)
        other.kill()
        other.wait()
    start = time.monotonic()
    with held(output) as turn:
        assert time.monotonic() - start < 1
        assert note(output).pid == os.getpid()
        # It takes over what the killed run's actors made; the next one finds nothing of the kind.
        assert turn.follows_a_killed
        assert turn.spool == note(output).spool == killed.spool
    with held(output) as turn:
        assert not turn.follows_a_killed
        assert turn.spool != killed.spool


@pytest.mark.parametrize(
    ("namespace", "pid"), [("other boot:1", 1), (lease._namespace(), os.getpid())], ids=["elsewhere", "its pid again"]
)
def test_one_that_may_live_but_beats_no_more_is_waited_for_and_replaced(
    output: Output, namespace: str, pid: int
) -> None:
    there = Note(owner="x", host="elsewhere", pid=pid, namespace=namespace, beats=7)
    storage.write(output.lease, json.dumps(asdict(there)).encode())
    start = time.monotonic()
    with held(output) as turn:
        assert time.monotonic() - start >= 1.5
        assert note(output).owner == turn.owner


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"owner": 1}'])
def test_what_is_no_note_holds_nothing(output: Output, content: bytes) -> None:
    """As a driver leaves it that is killed while it writes."""
    storage.write(output.lease, content)
    with held(output) as turn:
        assert note(output).owner == turn.owner


def test_workers_learn_that_the_driver_wants_to_leave(output: Output) -> None:
    with held(output) as turn:
        glance = Glance(output, turn.owner)
        assert glance.over() == ""
        turn.leave()
        wait_for(lambda: glance.over() == "leaving")
    assert Glance(output, "").over() == ""


def test_a_run_that_was_taken_over_stops_and_its_workers_too(output: Output) -> None:
    with held(output) as turn:
        storage.write(output.lease, json.dumps(asdict(replace(note(output), owner="another"))).encode())
        wait_for(lambda: turn.lost)
        assert Glance(output, turn.owner).over() == "lost"
    assert note(output).owner == "another"


def wait_for(condition: object) -> None:
    end = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)
