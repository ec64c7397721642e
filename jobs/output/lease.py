"""One run at a time may write to an output: a small file there says whose turn it is, and beats like a heart.

A driver that is killed stops beating. On its own machine the next run sees at once that its process is gone; on another
one it watches the file for PATIENCE seconds. No clocks are compared. Workers read the file too: what a killed run's
workers are still at is written no more, and where the driver wants to leave they begin nothing new.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jobs import storage
from jobs.errors import Refused, refusing
from jobs.paths import Output

BEAT = 5.0
"""Seconds between two signs of life of a driver."""

PATIENCE = 25.0
"""Seconds without one after which a driver on another machine counts as gone."""

_GLANCE = 2.0
"""Seconds for which a worker relies on what it read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What stands in the file."""

    owner: str
    host: str
    pid: int
    namespace: str
    """Where that pid means this process: boot of the machine and pid namespace; empty where that can't be told."""
    spool: str = ""
    """A name for what its actors made and did not live to write; whoever follows a killed driver takes it over."""
    beats: int = 0
    leaving: bool = False
    """Nothing new is to be begun."""


class Lease:
    """A driver's turn, kept up by a thread of its own."""

    def __init__(self, output: Output) -> None:
        self.owner = uuid.uuid4().hex
        self._url = output.lease
        self._note = Note(
            owner=self.owner,
            host=platform.node(),
            pid=os.getpid(),
            namespace=_namespace(),
            spool=uuid.uuid4().hex,
        )
        self._wake = threading.Event()
        self._ended = False
        self.leaving = False
        self.lost = False
        """Whether another run has taken over."""
        self.follows_a_killed = False
        """Whether the run before did not come to its end."""

    @property
    def spool(self) -> str:
        return self._note.spool

    def leave(self) -> None:
        """Have the workers finish what they are at, and begin nothing new. Safe in a signal handler."""
        self.leaving = True
        self._wake.set()

    def _take(self) -> None:
        there = _read(self._url)
        if there is not None and _alive(there, self._url):
            raise Refused(
                f"output: another run (process {there.pid} on {there.host}) is writing there; "
                "wait for its end, or give another --output"
            )
        if there is not None and there.spool:
            self._note, self.follows_a_killed = replace(self._note, spool=there.spool), True
        if there is not None or storage.read(self._url) is not None:
            storage.remove(self._url)
        self._write(exclusive=True)

    def _write(self, *, exclusive: bool = False) -> None:
        content = json.dumps(asdict(replace(self._note, leaving=self.leaving))).encode()
        if not exclusive:
            storage.write(self._url, content)
        elif not storage.create(self._url, content):
            raise Refused("output: another run has begun to write there at the same time; wait for its end")

    def _keep(self) -> None:
        while not self._wake.wait(BEAT) or not self._ended:
            self._wake.clear()
            self._note = replace(self._note, beats=self._note.beats + 1)
            # A beat that fails is made up for by the next one; what the job itself can't write is told elsewhere.
            with suppress(Exception):
                there = _read(self._url)
                if there is not None and there.owner != self.owner:
                    self.lost = True
                    return
                self._write()


@contextmanager
def held(output: Output) -> Iterator[Lease]:
    """Raises Refused while another run is alive."""
    lease = Lease(output)
    with refusing(f"output: can't write {output.url}"):
        lease._take()
    thread = threading.Thread(target=lease._keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease._ended = True
        lease._wake.set()
        thread.join()
        if not lease.lost:
            with suppress(Exception):
                storage.remove(output.lease)


class Glance:
    """A worker's look at whose turn it is, at most every two seconds; none where no owner is given."""

    def __init__(self, output: Output, owner: str) -> None:
        self._url, self._owner = output.lease, owner
        self._until = 0.0
        self._over = ""

    @property
    def seen(self) -> str:
        """As `over`, by the last look: for those who can't wait for storage."""
        return self._over

    def over(self) -> str:
        """Empty while work goes on, else `leaving` or `lost`. A file that can't be read ends nothing."""
        if not self._owner or time.monotonic() < self._until or self._over == "lost":
            return self._over
        with suppress(Exception):
            note = _read(self._url)
            lost = note is not None and note.owner != self._owner
            self._over = "lost" if lost else "leaving" if note is None or note.leaving else ""
        self._until = time.monotonic() + _GLANCE
        return self._over


def _read(url: str) -> Note | None:
    content = storage.read(url)
    try:
        return Note(**json.loads(content)) if content else None
    except (ValueError, TypeError):
        return None


def _alive(there: Note, url: str) -> bool:
    if there.namespace and there.namespace == _namespace() and not Path(f"/proc/{there.pid}").exists():
        return False
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(0.5)
        now = _read(url)
        if now is None:
            return False
        if now != there:
            return True
    return False


def _namespace() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""
