"""Batches that are made and not yet written, on the disk of the node that made them.

There they outlive the process that made them, the driver and all of Ray; who comes next writes them: salvage.py.
Nothing is forced to the disk: it would cost time, and help only where the machine itself goes down. Of what lay there
then a part may be lost, in the middle of a file too: each ends with its checksum, and counts only with that.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pyarrow as pa

_KEPT_FOR = 7 * 86_400.0
"""Seconds."""

_CHECKSUM = 4
"""Bytes."""

_SHARE = 0.1
"""Of the free disk: what one batch may take of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """Files in each node's temporary folder, of one model of one job."""

    key: str
    """What no other has; a good file name."""

    @property
    def _folder(self) -> Path:
        return Path(tempfile.gettempdir(), f"teacache-{os.getuid()}")

    def keep(self, made: pa.Table) -> Path | None:
        """Where the batch lies now; None where the disk did not take it, which is no reason to fail."""
        path = self._folder / f"{self.key}-{uuid4().hex}"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not self._is_ours() or made.nbytes > _SHARE * shutil.disk_usage(self._folder).free:
                return None
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, made.schema) as writer:
                writer.write_table(made)
            with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                file.seek(0, os.SEEK_END)
                file.write(_checksum(content))
        except OSError:
            drop(path)
            return None
        return path

    def _is_ours(self) -> bool:
        """Whether the folder is a real one that only we can read and write; others could leave links or rows there."""
        try:
            there = os.lstat(self._folder)
        except OSError:
            return False
        return stat.S_ISDIR(there.st_mode) and there.st_uid == os.getuid() and not there.st_mode & 0o077

    def sweep(self) -> None:
        """Remove what nobody came back for, of any job."""
        for path in self._folder.glob("*") if self._is_ours() else ():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _KEPT_FOR:
                    path.unlink()

    def left(self) -> Iterator[tuple[Path, pa.Table]]:
        """What was kept and not dropped, but for what another process is at; nobody else gets it meanwhile."""
        for path in sorted(self._folder.glob(f"{self.key}-*")) if self._is_ours() else ():
            with suppress(FileNotFoundError), path.open("rb") as file:
                if not _mine(file):
                    continue
                content = memoryview(file.read())
                made, checksum = content[:-_CHECKSUM], content[-_CHECKSUM:]
                if checksum == _checksum(made):
                    yield path, pa.ipc.open_file(pa.py_buffer(made)).read_all()
                else:  # Whoever wrote it was killed, or the machine went down.
                    drop(path)


def drop(path: Path | None) -> None:
    """The batch is written, or never will be."""
    if path:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _checksum(content: mmap.mmap | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM, "big")


def _mine(file: BinaryIO) -> bool:
    """Lock it; a lock ends with its process. False where another has it, or had it and has dropped it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file.fileno()).st_nlink > 0
