from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.prompts.reading import pieces, read_piece, read_shard
from jobs.prompts.samples import sampled
from jobs.prompts.scan import scan
from jobs.prompts.shards import find_shards
from tests.jobs.conftest import WriteShard

PROMPTS = pa.table({"id": ["a", "b"], "prompt": ["x", "y"], "seed": pa.array([None, 2**32 - 1], pa.int64())})


def test_each_sample_has_an_id_and_a_seed_of_its_own() -> None:
    rows = sampled(PROMPTS, 3)
    assert rows["id"].to_pylist() == ["a", "a-1", "a-2", "b", "b-1", "b-2"]
    assert rows["prompt"].to_pylist() == ["x"] * 3 + ["y"] * 3
    assert rows["seed"].to_pylist() == [None] * 3 + [2**32 - 1, 0, 1]
    assert rows.schema == PROMPTS.schema


def test_more_samples_only_add_rows() -> None:
    fewer, more = (sampled(PROMPTS, samples).to_pylist() for samples in (2, 5))
    assert all(row in more for row in fewer)
    assert sampled(PROMPTS, 1).equals(PROMPTS)


def test_shards_are_read_and_counted_with_their_samples(shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", prompt=["x", "y", "z"], height=[8, 8, 16])
    url = str(tmp_path / "prompts")
    shards = find_shards(url, samples=3)
    assert [each.num_rows for each in shards] == [9]
    read = [row["id"] for piece in pieces(shards) for rows in read_piece(url, piece) for row in rows.to_pylist()]
    assert read == [f"a.parquet#{row}{end}" for row in range(3) for end in ("", "-1", "-2")]
    assert [len(rows) for rows in read_shard(url, shards[0])] == [9]
    found = scan(url, shards)
    assert (len(found.ids), sorted(found.shapes.values())) == (9, [3, 6])
    assert not len(found.duplicates)


def test_samples_that_take_the_id_of_another_row_stand_twice(shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["a", "a-1"], prompt=["x", "y"])
    url = str(tmp_path / "prompts")
    assert len(scan(url, find_shards(url, samples=2)).duplicates) == 1
    assert np.all(np.diff(scan(url, find_shards(url, samples=1)).ids) > 0)
