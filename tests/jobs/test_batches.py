import pyarrow as pa

from jobs.actors.batches import ending, form, packed, unpacked
from jobs.rows import Batch, Sample, schema, values
from tests.jobs.test_rows import made


def sample(row_id: str, height: int) -> Sample:
    return Sample(**values(made(id=row_id, height=height), Sample))


def test_rows_of_a_kind_come_together_and_none_is_lost() -> None:
    heights = [64, 96, 64, 128, 64, 96, 64, 64, 64]
    batches = list(form((sample(str(number), height) for number, height in enumerate(heights)), 3))
    assert [[row.id for row in batch] for batch in batches] == [["0", "2", "4"], ["6", "7", "8"], ["1", "5"], ["3"]]


def test_a_table_travels_as_one_row_and_comes_back() -> None:
    table = pa.table({"x": [1, 2, 3], "y": [b"a" * 100_000, None, b""]})
    block = packed(table)
    assert (block.num_rows, block.schema) == (1, schema(Batch))
    assert unpacked(block) == (table, "")
    # Ray joins and cuts blocks; a row stays what it is.
    assert unpacked(pa.concat_tables([packed(table.slice(0, 1)), block]).slice(1)) == (table, "")


def test_why_the_job_must_end_travels_in_place_of_rows() -> None:
    rows, reason = unpacked(ending("no weights"))
    assert (rows.num_rows, reason) == (0, "no weights")
