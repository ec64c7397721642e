import errno
import os
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from jobs import storage


@pytest.mark.parametrize("root", ["{tmp}/deep/er", "memory://test-storage/deep"])
def test_what_is_written_is_read_and_overwritten(root: str, tmp_path: Path) -> None:
    url = storage.join(root.format(tmp=tmp_path), "a b.txt")
    assert storage.read(url) is None
    storage.write(url, b"one")
    storage.write(url, b"two")
    assert storage.read(url) == b"two"


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "a.txt")
    storage.write(url, b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError("no renaming")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(storage.WriteFailed, match="PermissionError: no renaming"):
        storage.write(url, b"new")
    assert storage.read(url) == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    tries = []

    def full(*_: Any, **__: Any) -> None:
        tries.append(number)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(LocalFileSystem, "pipe_file", full)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    with pytest.raises(storage.WriteFailed, match=os.strerror(number)):
        storage.write(str(tmp_path / "a.txt"), b"x")
    assert len(tries) == 1


def test_a_write_that_fails_for_a_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = LocalFileSystem.pipe_file
    failures = [OSError("busy"), OSError("busy")]

    def flaky(self: LocalFileSystem, *arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return original(self, *arguments, **options)

    monkeypatch.setattr(LocalFileSystem, "pipe_file", flaky)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    storage.write(str(tmp_path / "a.txt"), b"x")
    assert (tmp_path / "a.txt").read_bytes() == b"x"


def test_a_storage_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, over = [], Event()

    def silent(self: LocalFileSystem, *arguments: Any, **options: Any) -> None:
        tries.append(arguments)
        over.wait(30)
        raise OSError("nobody waits for this any more")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", silent)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    monkeypatch.setattr(storage, "_SECONDS", 0.02)
    with pytest.raises(storage.WriteFailed, match="TimeoutError: no answer within 0 s"):
        storage.write(str(tmp_path / "a.txt"), b"x")
    over.set()
    assert len(tries) == 8


def test_a_large_file_gets_a_second_attempt_however_long_the_first_one_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, clock, failures = LocalFileSystem.pipe_file, [0.0], [OSError("cut")]

    def slow(self: LocalFileSystem, *arguments: Any, **options: Any) -> Any:
        clock[0] += 200.0
        if failures:
            raise failures.pop()
        return original(self, *arguments, **options)

    monkeypatch.setattr(LocalFileSystem, "pipe_file", slow)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(storage, "_BYTES_PER_SECOND", 0.01)
    storage.write(str(tmp_path / "large"), b"xxx")
    assert storage.read(str(tmp_path / "large")) == b"xxx"


def test_public_urls_are_absolute_and_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.public("out/x.png") == f"file://{tmp_path}/out/x.png"
    assert storage.absolute("out") == f"{tmp_path}/out"
    assert storage.public("memory://bucket/x.png") == "memory://bucket/x.png"
