"""Bytes in and out of any fsspec URL. A file is either there in full or not at all."""

from __future__ import annotations

import errno
import os
import posixpath
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from functools import partial
from threading import Thread

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)
from tenacity.stop import stop_base

from jobs.errors import describe, redact

# A put of these shows the whole object or nothing; everything else writes beside the target and renames.
_ATOMIC_PUT = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"})
_PERMANENT = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    FileExistsError,
    NotImplementedError,
)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

_SECONDS, _BYTES_PER_SECOND = 60.0, 1 << 18
"""One attempt to write may take so long, and longer by its size at this rate: a storage may take connections and never
answer, where its client goes on waiting for an hour."""


def open_url(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system behind a URL, and the path on it. Raises ValueError or ImportError for an unknown protocol."""
    fs, path = url_to_fs(url)
    return fs, path.rstrip("/") or "/"


def in_memory(url: str) -> bool:
    """Whether it is the memory of this process, which no other one sees."""
    return _protocol(open_url(url)[0]) == "memory"


def join(url: str, *parts: str) -> str:
    return "/".join((url.rstrip("/"), *parts))


def absolute(url: str) -> str:
    """The URL with local paths made absolute: a Ray worker may run in another folder."""
    fs, path = open_url(url)
    return path if _protocol(fs) == "file" else url


def public(url: str) -> str:
    """The URL as it may be shown and stored: absolute, with its protocol, without credentials."""
    fs, path = open_url(url)
    return f"file://{path}" if _protocol(fs) == "file" else redact(url)


def _may_pass(error: BaseException) -> bool:
    permanent = isinstance(error, _PERMANENT) or (isinstance(error, OSError) and error.errno in _NO_ROOM)
    return isinstance(error, Exception) and not permanent


_ATTEMPTS, _PATIENCE = stop_after_attempt(8), 180.0
_STOP = _ATTEMPTS | stop_after_delay(_PATIENCE)


def patient(stop: stop_base = _STOP) -> Retrying:
    """Eight attempts over half a minute or so, or fewer within three: what every reading and writing of a file gets."""
    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop,
        wait=wait_random_exponential(multiplier=0.5, max=20),
        reraise=True,
    )


class WriteFailed(Exception):
    """A file could not be written, not at the last attempt either; names the error of that one."""


def write(url: str, content: bytes) -> None:
    """Write a file at once: no reader ever sees half of it. Raises WriteFailed after the last attempt."""
    try:
        _write(url, content)
    except Exception as error:
        raise WriteFailed(describe(error)) from error


@patient().wraps
def read(url: str) -> bytes | None:
    """The file's content, None where there is no such file."""
    fs, path = open_url(url)
    try:
        content = fs.cat_file(path)
    except FileNotFoundError:
        return None
    assert isinstance(content, bytes)
    return content


@patient().wraps
def remove(url: str) -> None:
    """Remove a file, if it is there."""
    fs, path = open_url(url)
    with suppress(FileNotFoundError):
        fs.rm_file(path)


def create(url: str, content: bytes) -> bool:
    """Write a small file where none is; False if there is one. Not tried twice: the first try may have made it."""
    fs, path = open_url(url)
    try:
        if _protocol(fs) == "file":
            fs.makedirs(posixpath.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(content)
        else:
            fs.pipe_file(path, content, mode="create")
    except FileExistsError:
        return False
    return True


def _seconds(content: bytes) -> float:
    return _SECONDS + len(content) / _BYTES_PER_SECOND


class _WrittenLongEnough(stop_base):
    """One attempt with a large file may take longer than all with a small one, and is not to be the only one."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        return (retry_state.seconds_since_start or 0.0) >= max(_PATIENCE, 3 * _seconds(retry_state.args[1]))


@patient(_ATTEMPTS | _WrittenLongEnough()).wraps
def _write(url: str, content: bytes) -> None:
    _within(_seconds(content), partial(_put, url, content))


def _within(seconds: float, work: Callable[[], None]) -> None:
    """Do the work in a thread, which is left to itself when its time is over. Raises TimeoutError then."""
    done: Future[None] = Future()

    def do() -> None:
        try:
            work()
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    Thread(target=do, name="write", daemon=True).start()
    try:
        done.result(seconds)
    except TookTooLong:
        if done.done():
            raise  # the work's own
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def _put(url: str, content: bytes) -> None:
    fs, path = open_url(url)
    if _protocol(fs) in _ATOMIC_PUT:
        fs.pipe_file(path, content)
        return
    folder, name = posixpath.split(path)
    fs.makedirs(folder, exist_ok=True)
    unfinished = posixpath.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    # fsspec's own local move would put the file into a folder of that name and call it done.
    move = os.replace if _protocol(fs) == "file" else fs.mv
    try:
        fs.pipe_file(unfinished, content)
        move(unfinished, path)
    except BaseException:
        # What can't be removed either must not hide why the write failed.
        with suppress(Exception):
            fs.rm_file(unfinished)
        raise


def _protocol(fs: AbstractFileSystem) -> str:
    return fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
