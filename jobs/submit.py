"""A job sent to a running cluster through Ray's own client: what it needs, its log as it goes on, its exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp
import requests
import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

import teacache
from jobs.config.job import Job
from jobs.errors import JobFailed, Refused, redact, refusing
from jobs.exits import INTERRUPTED, SOME_FAILED
from jobs.nights.dates import settled
from jobs.paths import DEMO, packaged
from jobs.runs import RUN_VARIABLE, new_run

_CODE = (Path(__file__).parent, Path(teacache.__file__).parent)
_CHATTY = ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk")
_SECONDS_TO_ANSWER = 10
_TOKEN = "RAY_AUTH_TOKEN or the file ~/.ray/auth_token to the cluster's"
_SECONDS_BETWEEN_TRIES = 1.0
_TRIES = 60
"""Each a second or more apart: as long as a load balancer or a dashboard may take to come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that a cluster has taken; `id` also names its run in logs and metrics."""

    id: str
    address: str

    @property
    def advice(self) -> str:
        """The commands that follow it and stop it."""
        follow = f"ray job logs {self.id} --follow --address {self.address}"
        return f"follow it: {follow}; stop it: ray job stop {self.id} --address {self.address}"


def submit(job: Job, address: str) -> Submission:
    """Send the job with the code of `jobs` and `teacache`; nothing is installed. Raises Refused."""
    job = settled(job)
    _check_paths(job)
    client = _client(address)
    submission = Submission(id=new_run(job.name), address=address)
    with tempfile.TemporaryDirectory() as folder, _explained(address):
        fields = job.model_dump(mode="json", exclude_unset=True)
        (Path(folder) / "job.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
        client.submit_job(
            entrypoint="python -m jobs generate job.yaml",
            submission_id=submission.id,
            metadata={"job": job.name},
            runtime_env={
                "working_dir": folder,
                "py_modules": [str(path) for path in _CODE],
                "excludes": _unneeded(job),
                "env_vars": {RUN_VARIABLE: submission.id},
            },
        )
    return submission


def follow(submission: Submission, write: Callable[[str], object]) -> int:
    """Write the job's log until it ends; gives its exit code. Raises JobFailed if it has none or can't be reached."""
    client = _client(submission.address)
    log = _Log(write)
    failures = 0
    while failures < _TRIES:
        try:
            with _interruptible():
                asyncio.run(log.tail(client, submission.id))
            details = client.get_job_info(submission.id)
        except (RuntimeError, OSError, aiohttp.ClientError, requests.RequestException):
            failures += 1
        else:
            failures = 0
            if details.status.is_terminal():
                return _exit_code(details)
        time.sleep(_SECONDS_BETWEEN_TRIES)
    raise JobFailed(f"no answer from {redact(submission.address)}; the job may go on, {submission.advice}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Asyncio's own handler of Ctrl-C cancels, which a client library may take for an error of the connection."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Log:
    """What was written of a job's log: a lost connection begins with the first line again."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._written = 0

    async def tail(self, client: JobSubmissionClient, submission_id: str) -> None:
        read = 0
        async for text in client.tail_job_logs(submission_id):
            new = text[max(0, self._written - read) :]
            read += len(text)
            self._written = max(self._written, read)
            if new:
                self._write(new)


def _exit_code(details: Any) -> int:
    if details.status == JobStatus.SUCCEEDED:
        return 0
    if details.status == JobStatus.STOPPED:
        return INTERRUPTED
    code = details.driver_exit_code
    if code is None:
        lines = [line for line in (details.message or "").splitlines() if line.strip()] or ["Ray does not say why"]
        raise JobFailed(f"the job did not run: {redact(lines[-1].strip())}")
    # A signal that ends the shell around the job is a negative code.
    return int(code) if code > 0 else SOME_FAILED


def _client(address: str) -> JobSubmissionClient:
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The environment would go before what was asked for.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    with _explained(address):
        _check_answer(address)
        return JobSubmissionClient(address)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    with refusing(f"address {address}"):
        try:
            yield
        except AuthenticationError as error:
            raise Refused(f"address: the cluster at {redact(address)} {_token_advice(error.message)}") from None


def _token_advice(message: str) -> str:
    """What is wrong with the token, by what Ray says and by the environment."""
    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    if mode != "token":
        return f"wants its token; set RAY_AUTH_MODE=token (now {mode}), and {_TOKEN}"
    if "invalid" in message.lower():
        return f"wants another token than the one given here; set {_TOKEN}"
    return f"wants its token, and none was found here; set {_TOKEN}"


def _check_answer(address: str) -> None:
    """Raises Refused, soon, if nobody is there; Ray's client would wait for minutes."""
    url = address if "://" in address else f"http://{address}"
    if not url.startswith(("http://", "https://")):
        return
    try:
        requests.get(f"{url.rstrip('/')}/api/version", timeout=_SECONDS_TO_ANSWER)
    except (requests.ConnectionError, requests.Timeout):
        raise Refused(
            f"address: no answer from {redact(address)} within {_SECONDS_TO_ANSWER} seconds; "
            "give that of the cluster's dashboard, as http://HOST:8265"
        ) from None


def _check_paths(job: Job) -> None:
    """What is relative here would be looked up in Ray's copy of the job there."""
    for name, url in (("prompts", job.prompts), ("output", job.output)):
        if "://" not in url and not url.startswith("/") and packaged(url) == url:
            raise Refused(f"{name}: {url} is relative, and the cluster has folders of its own; give a full path or URL")
    for model in job.each_model:
        folder = model.pipeline
        if packaged(folder) == folder and not folder.startswith("/") and Path(folder).is_dir():
            raise Refused(f"model {model.name}: {folder} is a folder of this machine; give a full path or a hub id")


def _unneeded(job: Job) -> list[str]:
    """Patterns for what of the packaged demo the job doesn't name: its weights are most of the code's size."""
    named = {job.prompts, *(model.pipeline for model in job.each_model)}
    demo = sorted((_CODE[0] / DEMO).iterdir())
    return [f"/{DEMO}{path.name}" for path in demo if not any(name.startswith(f"{DEMO}{path.name}") for name in named)]
