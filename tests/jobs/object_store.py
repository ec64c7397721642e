"""An S3 server in a process of its own, and a proxy before it that refuses, delays and cuts connections.

`python -m tests.jobs.object_store` says a port that is free.
"""

from __future__ import annotations

import random
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

BUCKET = "bucket"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Shares of the connections that are met with each."""

    refused: float = 0.0
    delayed: float = 0.0
    seconds: float = 0.2
    """How long a delay is; also that of every connection in `slow`."""
    cut: float = 0.0
    """Closed after some bytes of the answer."""


@contextmanager
def server() -> Iterator[str]:
    """The URL of a moto server with an empty bucket."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            make_bucket(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def make_bucket(url: str) -> None:
    import urllib.request

    urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).close()


@contextmanager
def proxy(url: str, faults: Faults, seed: int = 0) -> Iterator[str]:
    """The URL of a proxy before the server at `url`."""
    target, chance = int(url.rpartition(":")[2]), random.Random(seed)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if chance.random() < faults.refused:
                return
            with suppress(OSError), socket.create_connection(("127.0.0.1", target)) as there:
                answers = threading.Thread(target=_answer, args=(there, self.request, faults, chance))
                answers.start()
                try:
                    while data := self.request.recv(65536):
                        there.sendall(data)
                finally:
                    with suppress(OSError):
                        there.shutdown(socket.SHUT_RDWR)
                    answers.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close, request_queue_size = True, False, 128

    with Server(("127.0.0.1", 0), Relay) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}"
        finally:
            listener.shutdown()
            thread.join()


def _answer(there: socket.socket, here: socket.socket, faults: Faults, chance: random.Random) -> None:
    """Pass answers on, each a little later or not in full."""
    with suppress(OSError):
        while data := there.recv(65536):
            if chance.random() < faults.delayed:
                time.sleep(faults.seconds)
            if chance.random() < faults.cut:
                here.sendall(data[: len(data) // 2])
                break
            here.sendall(data)
    with suppress(OSError):
        here.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port}")


if __name__ == "__main__":
    print(free_port())
