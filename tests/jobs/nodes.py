"""A Ray cluster of several nodes on this machine, as `ray start` makes it, with a token; nodes can be lost."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.jobs.object_store import free_port

ACTOR = "MapWorker("
"""In the title of the process of an actor that generates."""


@dataclass(slots=True, kw_only=True)
class Nodes:
    """The cluster as a laptop knows it."""

    folder: Path
    """Where Ray keeps its sessions."""
    address: str
    metrics_url: str
    token: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Of a client: its own variables, and what the cluster wants."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {**own, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def lose_one_with_an_actor(self) -> None:
        """Kill all processes of a node at once, as a spot node goes."""
        for node in self.workers:
            processes = _processes(node)
            if any(ACTOR in title for title in map(_title, processes)):
                for process in (*processes, psutil.Process(node.pid)):
                    process.kill()
                self.workers.remove(node)
                return
        raise AssertionError("no node has an actor")


@contextmanager
def started(cpus: tuple[int, ...]) -> Iterator[Nodes]:
    """A head without CPUs, and a node for each of the numbers given."""
    gcs, dashboard, metrics = free_port(), free_port(), free_port()
    # A short path: sockets have a limit.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        nodes = Nodes(
            folder=Path(folder),
            address=f"http://127.0.0.1:{dashboard}",
            metrics_url=f"http://127.0.0.1:{metrics}/metrics",
            token=secrets.token_hex(16),
        )
        head = ["--head", f"--port={gcs}", f"--dashboard-port={dashboard}", "--num-cpus=0", f"--temp-dir={folder}"]
        head += [f"--metrics-export-port={metrics}", f"--ray-client-server-port={free_port()}"]
        running: list[subprocess.Popen[bytes]] = []
        try:
            running.append(_joined(nodes, head, alive=1))
            for number, count in enumerate(cpus):
                running.append(_joined(nodes, [f"--address=127.0.0.1:{gcs}", f"--num-cpus={count}"], alive=number + 2))
            nodes.workers = running[1:]
            yield nodes
        finally:
            for node in running:
                _stop(node)


def _joined(nodes: Nodes, options: list[str], alive: int) -> subprocess.Popen[bytes]:
    """A node that has joined, so that so many are alive. Ray gives one up after 30 seconds: it gets three tries."""
    log = nodes.folder / f"start-{alive}.log"
    for _ in range(3):
        node = _start(options, nodes.environment, log)
        while node.poll() is None:
            if _alive(nodes) >= alive:
                return node
            time.sleep(0.5)
    raise AssertionError(f"a node does not start:\n{log.read_text()}")


def _start(options: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    ports = [f"--dashboard-agent-listen-port={free_port()}", f"--dashboard-agent-grpc-port={free_port()}"]
    # Ray gives its workers way to everything else on the machine, such as other tests.
    environment = {**environment, "RAY_worker_niceness": "0"}
    command = ["ray", "start", "--block", "--disable-usage-stats", "--object-store-memory=100000000", *options, *ports]
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)


def _alive(nodes: Nodes) -> int:
    request = urllib.request.Request(f"{nodes.address}/nodes?view=summary", headers=_bearer(nodes.token))
    try:
        summary = json.load(urllib.request.urlopen(request, timeout=5))["data"]["summary"]
    except OSError:
        return 0
    return sum(node["raylet"].get("state") == "ALIVE" for node in summary)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _stop(node: subprocess.Popen[bytes]) -> None:
    """At once: asked to, a node drains first, for up to half a minute."""
    for process in _processes(node):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.kill()
    node.wait()


def _processes(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(node.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
