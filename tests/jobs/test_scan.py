from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import Refused
from jobs.ids import digests
from jobs.prompts.scan import Scan, check_duplicates, scan
from jobs.prompts.shards import find_shards
from tests.jobs.conftest import WriteShard


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "prompts")


def scanned(url: str) -> Scan:
    return scan(url, find_shards(url))


def test_ids_and_what_their_rows_say_stay_together(shard: WriteShard, url: str) -> None:
    shard("a.parquet", id=["a1", "a2"], prompt=["one", "two"])
    shard("b.parquet", prompt=["three"])
    before = scanned(url)
    assert np.array_equal(before.ids, np.sort(digests(["a1", "a2", "b.parquet#0"])))
    shard("a.parquet", id=["a1", "a2"], prompt=["one", "another"])
    after = scanned(url)
    assert before.ids[before.fingerprints != after.fingerprints].tolist() == digests(["a2"]).tolist()


def test_duplicate_ids_are_named_with_their_shards(shard: WriteShard, url: str) -> None:
    for name in ("a", "b", "c"):
        shard(f"{name}.parquet", id=["x", name], prompt=["p", "q"])
    with pytest.raises(Refused, match=r"2 duplicate id\(s\), first 'x' in a.parquet and b.parquet and c.parquet"):
        check_duplicates(url, scanned(url))


def test_shapes_are_counted(shard: WriteShard, url: str) -> None:
    shard("a.parquet", prompt=["x"] * 3, height=[64, 64, None])
    shard("b.parquet", prompt=["x"] * 2, height=[64, 64], num_inference_steps=[None, 9])
    assert scanned(url).shapes == {
        (64, None, None, None): 3,
        (None, None, None, None): 1,
        (64, None, None, 9): 1,
    }


@pytest.mark.parametrize("column", ["id", "prompt"])
def test_bytes_that_are_no_text_are_found_before_any_actor_starts(tmp_path: Path, url: str, column: str) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"], pa.binary()).buffers())
    (tmp_path / "prompts").mkdir()
    pq.write_table(pa.table({"prompt": ["x"], "id": ["a"], column: bad}), tmp_path / "prompts" / "z.parquet")
    (found,) = scanned(url).shards
    assert "can't read z.parquet: ArrowInvalid: " in found.problem
    assert "UTF8" in found.problem


def test_a_shard_with_a_broken_page_is_named_and_counts_as_empty(shard: WriteShard, url: str) -> None:
    shard("good.parquet", id=["a", "b"], prompt=["x", "y"])
    bad = shard("bad.parquet", id=[str(number) for number in range(1000)], prompt=["fox" * 9] * 1000)
    content = bytearray(bad.read_bytes())
    content[4:600] = bytes(596)
    bad.write_bytes(content)
    found = scanned(url)
    assert [bool(each.problem) for each in found.shards] == [True, False]
    assert found.shards[0].problem.startswith("prompts: can't read bad.parquet: ")
    assert np.array_equal(found.ids, np.sort(digests(["a", "b"])))
