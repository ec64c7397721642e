"""What lies on the node's disk between making and writing."""

import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from jobs.actors.spool import Spool, _mine, drop

LARGE = pa.table({"pixels": [bytes(range(1, 256)) * 40]})
MADE = pa.table({"id": ["a", "b"], "pixels": [b"1", b"2"]})


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(key: str = "job") -> list[pa.Table]:
    return [made for _, made in Spool(key=key).left()]


def test_what_is_kept_is_there_until_it_is_dropped() -> None:
    first, second = Spool(key="job").keep(MADE), Spool(key="job").keep(MADE.slice(1))
    assert sorted(left(), key=len) == [MADE.slice(1), MADE]
    assert left("other") == []
    drop(first)
    assert left() == [MADE.slice(1)]
    drop(second)
    drop(second)
    assert left() == []


def test_what_was_cut_short_is_no_batch(folder: Path) -> None:
    kept = Spool(key="job").keep(MADE)
    assert kept is not None
    whole = kept.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        kept.write_bytes(whole[:size])
        assert left() == []
        assert not kept.exists()


@pytest.mark.parametrize("part", [slice(-40, -10), slice(300, 332), slice(0, 8)], ids=["end", "middle", "start"])
def test_what_went_with_the_machine_in_part_is_no_batch(part: slice) -> None:
    """As a file system leaves it that was not told to write all: with nothing but zeros in some place."""
    kept = Spool(key="job").keep(LARGE)
    assert kept is not None
    content = bytearray(kept.read_bytes())
    assert any(content[part])
    content[part] = bytes(len(content[part]))
    kept.write_bytes(content)
    assert left() == []
    assert not kept.exists()


def test_a_link_in_the_place_of_the_folder_is_not_followed(folder: Path) -> None:
    elsewhere = folder / "home"
    elsewhere.mkdir(mode=0o700)
    old = elsewhere / "job-diary"
    old.write_text("dear diary")
    os.utime(old, (0, 0))
    (folder / f"teacache-{os.getuid()}").symlink_to(elsewhere)
    Spool(key="job").sweep()
    assert Spool(key="job").keep(MADE) is None
    assert left() == []
    assert old.read_text() == "dear diary"


def test_a_folder_that_others_may_write_to_is_not_used(folder: Path) -> None:
    ours = folder / f"teacache-{os.getuid()}"
    ours.mkdir()
    ours.chmod(0o777)
    assert Spool(key="job").keep(MADE) is None


def test_a_batch_that_would_fill_the_disk_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=9 * MADE.nbytes))
    assert Spool(key="job").keep(MADE) is None
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=11 * MADE.nbytes))
    assert Spool(key="job").keep(MADE) is not None


def test_two_that_look_get_different_batches() -> None:
    for _ in range(2):
        Spool(key="job").keep(MADE)
    one, other = Spool(key="job").left(), Spool(key="job").left()
    (first, _), (second, _) = next(one), next(other)
    assert first != second
    assert left() == []
    drop(first)
    drop(second)
    assert not [*one, *other]


def test_who_comes_too_late_for_the_lock_gets_nothing() -> None:
    kept = Spool(key="job").keep(MADE)
    assert kept is not None
    with kept.open("rb") as file:
        drop(kept)
        assert not _mine(file)


def test_a_disk_that_takes_nothing_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "file"))
    assert Spool(key="job").keep(MADE) is None
    assert left() == []


def test_another_users_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    own = os.getuid()
    (folder / f"teacache-{own + 1}").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    assert Spool(key="job").keep(MADE) is None


def test_others_can_not_read_it() -> None:
    kept = Spool(key="job").keep(MADE)
    assert kept is not None
    assert kept.parent.stat().st_mode & 0o077 == 0


def test_what_nobody_came_back_for_is_swept_away() -> None:
    old, new = Spool(key="job").keep(MADE), Spool(key="job").keep(MADE)
    assert old is not None
    os.utime(old, (0, time.time() - 8 * 86_400))
    Spool(key="other").sweep()
    assert [path for path, _ in Spool(key="job").left()] == [new]
