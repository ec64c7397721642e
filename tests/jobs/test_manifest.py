from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import storage
from jobs.errors import Refused
from jobs.ids import digests
from jobs.output import manifest
from jobs.output.manifest import drop_repeated, failures, read_batches, tried, write_batch, write_rows
from jobs.paths import Output
from jobs.rows import Row, table, values
from tests.jobs.test_rows import made


def row(row_id: str, **changes: object) -> Row:
    return Row(**values(made(id=row_id, **changes), Row))


@pytest.fixture(params=["{tmp}", "memory://test-manifest"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output(url=f"{request.param.format(tmp=tmp_path)}/{tmp_path.name}")


def test_rows_done_and_failed_go_to_folders_of_their_own(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    audited = {"seconds": 1.0, "baseline_seconds": 2.5}
    rows = [row("a", steps=4, computed=2, **audited), row("b", error="ValueError: no"), row("c", steps=4, computed=3)]
    counts = asdict(write_batch(table(Row, rows), output))
    assert counts.pop("delay") > 0
    assert counts == {
        "done": 2,
        "failed": 1,
        "steps": 8,
        "computed": 5,
        "errors": ("ValueError",),
        "audited_seconds": 1.0,
        "baseline_seconds": 2.5,
        "unstored": 0,
        "unwritten": "",
        "ended": "",
        "salvaged": False,
    }
    assert pq.read_table(output.manifest).to_pylist() == table(Row, [rows[0], rows[2]]).to_pylist()
    assert pq.read_table(output.failed)["error"].to_pylist() == ["ValueError: no"]


def test_a_batch_written_again_is_there_once(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    for _ in range(3):
        write_batch(table(Row, [row("a"), row("b", error="x")]), output)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_tried_ids_are_those_of_the_model_failed_ones_too(output: Output) -> None:
    assert len(tried(output, "flux").ids) == 0
    write_batch(table(Row, [row("b"), row("a", error="x")]), output)
    write_batch(table(Row, [row("c"), row("d", model="mochi")]), output)
    assert np.array_equal(tried(output, "flux").ids, np.sort(digests(["a", "b", "c"])))
    assert sum(batch.num_rows for batch in read_batches(output, ["id"])) == 4


def test_a_file_that_is_not_ours_is_named_or_left_alone(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    write_batch(table(Row, [row("a")]), output)
    (tmp_path / "manifest" / "README.md").write_text("about")
    assert len(tried(output, "flux").ids) == 1
    foreign = tmp_path / "manifest" / "foreign.parquet"
    pq.write_table(pa.table({"x": [1]}), foreign)
    with pytest.raises(Refused, match=r"foreign\.parquet can't be read as part of the manifest: .*; move it away"):
        tried(output, "flux")
    foreign.write_bytes(b"PAR1 and no more")
    with pytest.raises(Refused, match=r"foreign\.parquet can't be read"):
        tried(output, "flux")


def test_unfinished_files_are_not_read(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    write_batch(table(Row, [row("a")]), output)
    (tmp_path / "manifest" / ".x.parquet.0.tmp").write_bytes(b"half")
    assert len(tried(output, "flux").ids) == 1


def test_a_row_that_stands_twice_counts_once_as_done_and_as_made_last(output: Output) -> None:
    late = datetime(2100, 1, 1, tzinfo=timezone.utc)
    copies = [row("a", error="x"), row("a", seed=1), row("a", seed=2, created_at=late), row("b", error="x")]
    for number, copy in enumerate([*copies, row("a", seed=3, model="mochi")]):
        # Names differ with the rows that a batch holds.
        write_batch(table(Row, [copy, row(f"other{number}")]), output)
    write_batch(table(Row, [row("a", seed=2, created_at=late), row("other0"), row("c")]), output)
    rows = [each for batch in read_batches(output, ["id", "seed", "error"]) for each in batch.to_pylist()]
    assert sorted(each["id"] for each in rows) == ["a", "a", "b", "c", *(f"other{number}" for number in range(5))]
    assert sorted(each["seed"] for each in rows if each["id"] == "a") == [2, 3]
    found = tried(output, "flux")
    assert dict(zip(found.ids.tolist(), found.failed.tolist(), strict=True))[int(digests(["b"])[0])]
    assert found.failed.sum() == 1


def test_what_was_made_is_known_by_its_fingerprint(output: Output) -> None:
    write_batch(table(Row, [row("a", fingerprint=5), row("b", fingerprint=-1)]), output)
    found = tried(output, "flux")
    by_id = dict(zip(found.ids.tolist(), found.fingerprints.tolist(), strict=True))
    assert [by_id[int(digest)] for digest in digests(["a", "b"])] == [5, 2**64 - 1]


def test_a_failure_counts_until_the_row_was_tried_again(output: Output) -> None:
    for model in ("flux", "mochi"):
        write_batch(table(Row, [row(row_id, error="x", model=model) for row_id in "abcd"]), output)
    before = failures(output, "flux", np.sort(digests(["a", "b", "c"])))
    assert np.array_equal(tried(output, "flux").ids, np.sort(digests([*"abcd"])))
    assert np.array_equal(tried(output, "flux", before).ids, digests(["d"]))
    late = datetime(2100, 1, 1, tzinfo=timezone.utc)
    write_batch(table(Row, [row("a", created_at=late), row("b", error="y", created_at=late)]), output)
    found = tried(output, "flux", before)
    assert dict(zip(found.ids.tolist(), found.failed.tolist(), strict=True)) == {
        int(digests([row_id])[0]): row_id != "a" for row_id in "abd"
    }


def test_for_other_readers_too_a_row_stands_once(output: Output) -> None:
    late = datetime(2100, 1, 1, tzinfo=timezone.utc)
    write_batch(table(Row, [row("a", error="x"), row("b", error="x"), row("c", error="x")]), output)
    write_batch(table(Row, [row("a"), row("d", seed=1)]), output)
    write_batch(table(Row, [row("d", seed=2, created_at=late), row("e"), row("b", error="y", created_at=late)]), output)
    # The same rows in two files, as where a merge was cut short.
    write_rows(table(Row, [row("a"), row("f")]), storage.join(output.manifest, "merged.parquet"))
    before = sorted(each["id"] for batch in read_batches(output, ["id"]) for each in batch.to_pylist())
    for _ in range(2):
        drop_repeated(output)
        assert sorted(ids_in(output.manifest)) == ["a", "d", "e", "f"]
        assert sorted(ids_in(output.failed)) == ["b", "c"]
    assert before == [*"abcdef"]
    found = [each for batch in read_batches(output, ["id", "seed", "error"]) for each in batch.to_pylist()]
    assert {each["id"]: (each["seed"], each["error"]) for each in found if each["id"] in "bd"} == {
        "b": (row("b").seed, "y"),
        "d": (2, ""),
    }


def test_a_late_merge_takes_no_row_away(output: Output) -> None:
    for ids in ("ab", "cd"):
        write_batch(table(Row, [row(row_id) for row_id in ids]), output)
    fs, path = storage.open_url(output.manifest)
    parts = [storage.join(output.manifest, name.rpartition("/")[2]) for name in fs.ls(path, detail=False)]
    merged = pa.concat_tables(pq.read_table(fs.open(name)) for name in fs.ls(path, detail=False))
    write_rows(merged, storage.join(output.manifest, "zz.parquet"))
    drop_repeated(output)
    for part in parts:  # as a killed run's merge does, when the merged file is there
        storage.remove(part)
    assert sorted(ids_in(output.manifest)) == [*"abcd"]


def test_only_repeated_rows_are_looked_at_one_by_one(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    write_batch(table(Row, [row(str(number)) for number in range(50)]), output)
    write_batch(table(Row, [row("7", error="x")]), output)
    looked_at: list[int] = []
    ranked = manifest._ranked

    def seen(failed: bool, batch: Any) -> Iterator[tuple[int, Any]]:
        for key, rank in ranked(failed, batch):
            looked_at.append(key)
            yield key, rank

    monkeypatch.setattr(manifest, "_ranked", seen)
    assert sum(batch.num_rows for batch in read_batches(output, ["id"])) == 50
    drop_repeated(output)
    assert not tried(output, "flux").failed.any()
    assert len(set(looked_at)) == 1


def ids_in(folder: str) -> list[str]:
    fs, path = storage.open_url(folder)
    return [each["id"] for name in fs.ls(path, detail=False) for each in pq.read_table(fs.open(name)).to_pylist()]
