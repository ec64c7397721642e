from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import Refused
from jobs.ids import digests
from jobs.manifest import read_batches, tried_ids, write_batch
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
    (counts,) = write_batch(table(Row, rows), output).to_pylist()
    assert counts.pop("delay") > 0
    assert counts == {
        "done": 2,
        "failed": 1,
        "steps": 8,
        "computed": 5,
        "errors": ["ValueError"],
        "audited_seconds": 1.0,
        "baseline_seconds": 2.5,
    }
    assert pq.read_table(output.manifest).to_pylist() == table(Row, [rows[0], rows[2]]).to_pylist()
    assert pq.read_table(output.failed)["error"].to_pylist() == ["ValueError: no"]


def test_a_batch_written_again_is_there_once(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    for _ in range(3):
        write_batch(table(Row, [row("a"), row("b", error="x")]), output)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_tried_ids_are_those_of_the_model_failed_ones_too(output: Output) -> None:
    assert len(tried_ids(output, "flux")) == 0
    write_batch(table(Row, [row("b"), row("a", error="x")]), output)
    write_batch(table(Row, [row("c"), row("d", model="mochi")]), output)
    assert np.array_equal(tried_ids(output, "flux"), np.sort(digests(["a", "b", "c"])))
    assert sum(batch.num_rows for batch in read_batches(output, ["id"])) == 4


def test_a_file_that_is_not_ours_is_named_or_left_alone(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    write_batch(table(Row, [row("a")]), output)
    (tmp_path / "manifest" / "README.md").write_text("about")
    assert len(tried_ids(output, "flux")) == 1
    foreign = tmp_path / "manifest" / "foreign.parquet"
    pq.write_table(pa.table({"x": [1]}), foreign)
    with pytest.raises(Refused, match=r"foreign\.parquet can't be read as part of the manifest: .*; move it away"):
        tried_ids(output, "flux")
    foreign.write_bytes(b"PAR1 and no more")
    with pytest.raises(Refused, match=r"foreign\.parquet can't be read"):
        tried_ids(output, "flux")


def test_unfinished_files_are_not_read(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    write_batch(table(Row, [row("a")]), output)
    (tmp_path / "manifest" / ".x.parquet.0.tmp").write_bytes(b"half")
    assert len(tried_ids(output, "flux")) == 1
