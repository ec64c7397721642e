"""Jobs submitted as from a laptop, to a head and two nodes that `ray start` made; the rest without a cluster."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from ray.job_submission import JobStatus, JobSubmissionClient

from jobs.config.job import Job
from jobs.errors import JobFailed, Refused
from jobs.submit import Submission, _check_paths, _exit_code, _Log, _unneeded
from jobs.submit import submit as send
from tests.jobs.conftest import WriteShard
from tests.jobs.fakes import COMMAND
from tests.jobs.nodes import Nodes, started
from tests.jobs.object_store import free_port

pytestmark = pytest.mark.slow

PROMPT = "a large green ring at the top on a white background"

TOKEN = "RAY_AUTH_TOKEN or the file ~/.ray/auth_token to the cluster's"
UNCACHED = {"pipeline": "demo/flux", "dtype": "float32", "cache": {"method": "none"}}

BuildJob = Callable[..., Job]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head and two nodes, where `python -m jobs` makes noise at once; a job named `real` has its own model."""
    python = tmp_path_factory.mktemp("bin") / "python"
    python.write_text(COMMAND)
    python.chmod(0o755)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", str(python.parent), prepend=os.pathsep)
        environment.setenv("FAKES_ALL", "1")
        environment.setenv("FAKES_SECONDS", "0.5")
        with started(cpus=(4, 4)) as cluster:
            yield cluster


@pytest.fixture
def submit(nodes: Nodes, tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Run the command on a job: `submit(job, "--no-wait")`."""

    def start(job: Job, *options: str, **environment: str) -> "subprocess.Popen[str]":
        file = tmp_path / f"{job.name}.yaml"
        file.write_text(yaml.safe_dump(job.model_dump(mode="json", exclude_unset=True)))
        module = "jobs" if "real" in job.name else "tests.jobs.fakes"
        command = [sys.executable, "-m", module, "submit", str(file), "--address", nodes.address, *options]
        environment = {**nodes.environment, **environment}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


Submit = Callable[..., "subprocess.Popen[str]"]


def test_a_lost_node_costs_no_row(
    job: BuildJob, shard: WriteShard, submit: Submit, nodes: Nodes, tmp_path: Path
) -> None:
    ids = [f"row-{index}" for index in range(40)]
    shard("a.parquet", id=ids, prompt=[PROMPT] * 40)
    process = submit(job(name="lost", model=UNCACHED, actors={"count": 2, "num_cpus": 1, "batch_size": 2}))
    manifest = tmp_path / "out" / "manifest"
    deadline = time.monotonic() + 300
    while len(list(manifest.glob("*.parquet"))) < 2:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"no batch within 300 seconds: {process.communicate()}")
        time.sleep(0.1)
    before = pq.read_table(manifest).num_rows
    nodes.lose_one_with_an_actor()
    log, error = process.communicate(timeout=300)
    assert process.returncode == 0, log + error
    assert before < 40
    assert error.startswith("submitted lost-20")
    assert "rows done" in log
    assert sorted(map(str, pq.read_table(manifest)["id"].to_pylist())) == sorted(ids)
    assert not (tmp_path / "out" / "failed").exists()
    assert len(list(tmp_path.glob("out/media/**/*.png"))) == 40
    run = error.splitlines()[0].removeprefix("submitted ")
    assert scraped_rows(nodes, run) == 40


def scraped_rows(nodes: Nodes, run: str) -> float:
    """What the head's metrics port says of a run that has ended; Ray exports every ten seconds."""
    deadline = time.monotonic() + 30
    while True:
        page = urllib.request.urlopen(nodes.metrics_url, timeout=10).read().decode()
        rows = [line for line in page.splitlines() if line.startswith("ray_teacache_rows_total{") and run in line]
        if rows or time.monotonic() > deadline:
            return sum(float(line.split()[-1]) for line in rows)
        time.sleep(1)


def test_the_exit_code_is_the_jobs_own(
    job: BuildJob, shard: WriteShard, submit: Submit, nodes: Nodes, tmp_path: Path
) -> None:
    """With the packaged model, whose weights go along; one row asks for a height that it can't make."""
    shard("a.parquet", id=["good", "bad"], prompt=[PROMPT] * 2, height=[64, 50])
    one_failed = submit(job(name="a-real-one", audit={"fraction": 0}))
    refused = submit(job(name="refused", model=UNCACHED, prompts=f"{tmp_path}/nothing"))
    log, error = one_failed.communicate(timeout=300)
    assert one_failed.returncode == 1, log + error
    assert "2 of 2 rows, 1 failed" in log
    sent = {path.name for path in nodes.folder.glob("session_latest/runtime_resources/py_modules_files/*/jobs/demo/*")}
    assert sent == {"flux"}
    log, error = refused.communicate(timeout=300)
    assert refused.returncode == 2, log + error
    assert f"refused: prompts: can't list {tmp_path}/nothing" in log


def test_what_was_interrupted_or_not_waited_for_goes_on(
    job: BuildJob, shard: WriteShard, submit: Submit, nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shard("a.parquet", prompt=["sleep 60"])
    left = submit(job(name="left", model=UNCACHED), "--no-wait")
    log, error = left.communicate(timeout=120)
    assert (left.returncode, error) == (0, "")
    assert log.startswith("left-20")

    # The other one holds its output.
    followed = submit(job(name="followed", model=UNCACHED, output=f"{tmp_path}/followed"))
    assert followed.stderr
    first = followed.stderr.readline().strip()
    assert first.startswith("submitted followed-20")
    submission = first.removeprefix("submitted ")
    time.sleep(1)
    followed.send_signal(signal.SIGINT)
    _, error = followed.communicate(timeout=60)
    assert followed.returncode == 130
    assert error == f"the job goes on; {Submission(id=submission, address=nodes.address).advice}\n"

    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", nodes.address)  # which goes before an argument
    headers = {"Authorization": f"Bearer {nodes.token}"}
    client = JobSubmissionClient(nodes.address, headers=headers)
    for name in (log.strip(), submission):
        assert client.get_job_status(name) in {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUCCEEDED}
        client.stop_job(name)


@pytest.mark.parametrize(
    ("environment", "advice"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, f"wants its token; set RAY_AUTH_MODE=token (now disabled), and {TOKEN}"),
        ({"RAY_AUTH_TOKEN": "wrong"}, f"wants another token than the one given here; set {TOKEN}"),
        ({"RAY_AUTH_TOKEN": "", "HOME": "/nowhere"}, f"wants its token, and none was found here; set {TOKEN}"),
    ],
)
def test_a_cluster_that_wants_another_token_is_told_in_one_line(
    environment: dict[str, str], advice: str, job: BuildJob, submit: Submit, nodes: Nodes
) -> None:
    process = submit(job(model=UNCACHED), **environment)
    log, error = process.communicate(timeout=120)
    assert (process.returncode, log) == (2, "")
    assert error == f"refused: address: the cluster at {nodes.address} {advice}\n"


def test_where_nobody_answers_is_told_soon(job: BuildJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.submit._SECONDS_TO_ANSWER", 0.5)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    fitting = job(prompts="demo/prompts", output="s3://bucket/out")
    # One that takes the connection and says nothing, and one that is not there.
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        for port in (silent.getsockname()[1], free_port()):
            start = time.monotonic()
            with pytest.raises(Refused, match=rf"^address: no answer from http://127.0.0.1:{port} within 0.5 seconds"):
                send(fitting, f"http://127.0.0.1:{port}")
            assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompts": "prompts/here"}, "prompts: prompts/here is relative"),
        ({"output": "outputs/here"}, "output: outputs/here is relative"),
        ({"model": {"pipeline": "jobs/demo"}}, "model demo: jobs/demo is a folder of this machine"),
    ],
)
def test_paths_of_this_machine_are_refused(
    changes: dict[str, Any], sentence: str, job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(Refused, match=sentence):
        _check_paths(job(**changes))
    _check_paths(job(prompts="demo/prompts", output="s3://bucket/out"))


def test_a_model_from_elsewhere_needs_nothing_of_the_demo(job: BuildJob) -> None:
    unneeded = _unneeded(job(model={"pipeline": "black-forest-labs/FLUX.1-dev"}))
    assert {"/demo/flux", "/demo/prompts", "/demo/train.py"} <= set(unneeded)
    assert set(unneeded) - set(_unneeded(job(prompts="demo/prompts"))) == {"/demo/flux", "/demo/prompts"}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 1, 1),
        (JobStatus.FAILED, 2, 2),
        (JobStatus.FAILED, 3, 3),
        (JobStatus.FAILED, 137, 137),
        (JobStatus.FAILED, -9, 1),
        (JobStatus.STOPPED, None, 130),
    ],
)
def test_how_a_job_ended_is_an_exit_code(status: JobStatus, code: int | None, expected: int) -> None:
    assert _exit_code(SimpleNamespace(status=status, driver_exit_code=code, message="")) == expected


def test_a_job_that_never_ran_is_told_in_one_line() -> None:
    details = SimpleNamespace(status=JobStatus.FAILED, driver_exit_code=None, message="Traceback\n  no such s3://a:b@c")
    with pytest.raises(JobFailed, match=r"the job did not run: no such s3://c"):
        _exit_code(details)


def test_a_lost_connection_writes_no_line_twice() -> None:
    class Client:
        """Ray's log from its first line on, cut off at ever later places."""

        def __init__(self) -> None:
            self.cuts = iter((5, 12, 18))

        async def tail_job_logs(self, _: str) -> AsyncIterator[str]:
            text = "first\nsecond\nthird"[: next(self.cuts)]
            for start in range(0, len(text), 4):
                yield text[start : start + 4]

    written: list[str] = []
    log, client = _Log(written.append), Client()
    for _ in range(3):
        asyncio.run(log.tail(client, "id"))  # type: ignore[arg-type]
    assert "".join(written) == "first\nsecond\nthird"
