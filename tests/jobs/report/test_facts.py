import pyarrow as pa

from jobs.report.facts import PAIRS_HELD, ROWS_SHOWN, Facts, kind_of, per_model
from jobs.rows import Row, table, values
from tests.jobs.test_rows import made


def batches(*rows: Row, size: int = 2) -> list[pa.RecordBatch]:
    return table(Row, [Row(**values(row, Row)) for row in rows]).to_batches(max_chunksize=size)


def test_the_slowest_and_the_worst_rows_are_found_in_any_batch() -> None:
    rows = [
        made(id=str(index), seconds=float(index * 7 % 20), psnr=float(index * 3 % 20), ssim=0.9) for index in range(20)
    ]
    found = per_model(batches(*rows))["flux"]
    assert [row["seconds"] for row in found.slowest] == [19.0, 18.0, 17.0, 16.0, 15.0]
    assert [row["psnr"] for row in found.worst] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert len(found.worst) == ROWS_SHOWN
    assert sorted(found.psnr) == [float(value) for value in range(20)]


def test_failures_are_counted_by_error_and_have_an_example() -> None:
    rows = [made(id=f"a{index}", error=f"ValueError: asked for height {index}") for index in range(3)]
    found = per_model(batches(*rows, made(id="b", error="OSError: no room"), made(id="c", seconds=1.0)))["flux"]
    assert found.failures.most_common() == [("ValueError: asked for height #", 3), ("OSError: no room", 1)]
    assert found.examples["ValueError: asked for height #"]["id"] == "a0"
    assert len(found.slowest) == 1
    assert kind_of("at 0x7f3a: 1.5 of 20") == "at #: # of #"


def test_models_are_kept_apart() -> None:
    rows = [made(id=f"{model}{index}", model=model, seconds=1.0) for index in range(2) for model in "abc"]
    assert {name: len(found.slowest) for name, found in per_model(batches(*rows, size=4)).items()} == {
        "a": 2,
        "b": 2,
        "c": 2,
    }


def test_pairs_go_from_the_worst_to_the_best_and_are_bounded() -> None:
    twins = [made(id=str(index), psnr=float(index), baseline_uri="x") for index in range(PAIRS_HELD + 50)]
    found = per_model(batches(*twins, made(id="alone", psnr=0.5), size=64))["flux"]
    assert len(found.paired) == PAIRS_HELD
    assert [row["psnr"] for row in found.pairs(3)] == [0.0, 500.0, 999.0]
    assert Facts().pairs(3) == []
    few = per_model(batches(*twins[:2]))["flux"]
    assert [row["psnr"] for row in few.pairs(3)] == [0.0, 1.0]
