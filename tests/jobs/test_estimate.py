from pathlib import Path

import pytest

from jobs.accounting.estimate import paces
from jobs.output.manifest import write_batch
from jobs.paths import Output
from jobs.rows import Row, table, values
from tests.jobs.test_rows import made


def note(output: Output, *rows: dict[str, object]) -> None:
    known = [made(id=str(number), **row) for number, row in enumerate(rows)]
    write_batch(table(Row, [Row(**values(row, Row)) for row in known]), output)


def test_rows_cost_as_those_of_their_shape_did_and_others_by_their_work(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    small = {"height": 10, "width": 10, "num_inference_steps": 1}
    large = {"height": 20, "width": 20, "num_inference_steps": 1}
    note(
        output,
        {**small, "seconds": 1.0, "baseline_seconds": 2.0},
        {**small, "seconds": 1.0},
        {**large, "seconds": 10.0},
        {**large, "seconds": 99.0, "error": "ValueError: no"},
        {**small, "seconds": 5.0, "model": "other"},
    )
    flux, other = (paces(output)[name] for name in ("flux", "other"))
    assert flux.seconds({(10, 10, None, 1): 4}) == pytest.approx(4 * (1 + 2 + 1) / 2)
    assert flux.seconds({(20, 20, None, 1): 3}) == pytest.approx(30)
    # 14 s for 100 + 100 + 400 pixels; three steps of 200 pixels are as many.
    assert flux.seconds({(10, 20, None, 3): 1}) == pytest.approx(14)
    assert other.seconds({(10, 10, None, 1): 1}) == pytest.approx(5)


def test_hours_are_of_gpus_where_actors_have_some(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    note(output, {"seconds": 1.0, "num_gpus": 2.0}, {"seconds": 1.0, "model": "other", "num_cpus": 3.0})
    found = paces(output)
    assert (found["flux"].gpu, found["flux"].resources) == (True, 2.0)
    assert (found["other"].gpu, found["other"].resources) == (False, 3.0)


def test_nothing_made_is_nothing_known(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    assert paces(output) == {}
    note(output, {"error": "ValueError: no"})
    assert paces(output) == {}
