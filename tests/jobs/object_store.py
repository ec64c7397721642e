"""An S3 server in a process of its own, and a proxy before it that refuses, delays and cuts connections."""

from __future__ import annotations

import asyncio
import random
import socket
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
    port, target = free_port(), int(url.rpartition(":")[2])
    chance = random.Random(seed)
    ready, stop = threading.Event(), threading.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await _relay(reader, writer, target, faults, chance)
        writer.close()

    async def listen() -> None:
        listener = await asyncio.start_server(serve, "127.0.0.1", port)
        ready.set()
        await asyncio.to_thread(stop.wait)
        listener.close()
        await asyncio.sleep(0.2)  # for those that were just accepted to begin

    # Connections that are open in the end are cancelled by asyncio.run.
    thread = threading.Thread(target=lambda: asyncio.run(listen()), daemon=True)
    thread.start()
    assert ready.wait(timeout=60)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        thread.join()


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int, faults: Faults, chance: random.Random
) -> None:
    if chance.random() < faults.refused:
        return
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
    answer = asyncio.ensure_future(_pump(there_reader, writer, faults, chance))
    try:
        while data := await reader.read(65536):
            there_writer.write(data)
            await there_writer.drain()
    finally:
        there_writer.close()
        with suppress(OSError):
            await answer


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults, chance: random.Random
) -> None:
    """Pass answers on, each a little later or not in full."""
    while data := await reader.read(65536):
        if chance.random() < faults.delayed:
            await asyncio.sleep(faults.seconds)
        if chance.random() < faults.cut:
            writer.write(data[: len(data) // 2])
            writer.close()
            return
        writer.write(data)
        await writer.drain()
    writer.close()


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
