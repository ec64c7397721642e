import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from jobs.accounting.statistics import Pair, Statistics, summed
from jobs.accounting.summary import Summary
from jobs.progress import Tally
from jobs.rows import Row, table
from tests.jobs.test_statistics import rows


def summary(**changes: object) -> Summary:
    fields: dict[str, object] = {
        "job": "fox",
        "models": {"flux": summed(table(Row, rows()))},
        "runs": {"flux": Tally(done=3, failed=1, seconds=30.0, first_rows=2, first_seconds=10.0)},
        "price_per_hour": None,
    }
    return Summary(**{**fields, **changes})  # type: ignore[arg-type]


def shown(what: Summary) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(what.table())
    return captured.get()


def test_the_table_tells_what_a_user_asks() -> None:
    text = shown(summary(price_per_hour=3600.0))
    for line in (
        "rows done │ 5",
        "rows failed │ 1",
        "steps computed of total │ 70 of 140 (50%)",
        "speed-up, measured │ 1.33x [1.00, 2.00] on 4 rows",
        "PSNR to uncached, median and worst │ 32.5 dB and 20.0 dB",
        "SSIM to uncached, median and worst │ 0.750 and 0.600",
        # 18 CPU seconds and 16 for the audit, at one a second.
        "money spent │ 34.00",
        # The interval begins at 1.
        "money saved │ not distinguishable from none",
        "rows per second of this run │ 0.1",
    ):
        assert line in " ".join(text.split())


def test_savings_are_told_where_the_measurement_shows_them() -> None:
    pairs = {str(call): Pair(seconds=1.0, baseline_seconds=2.0 + call / 100) for call in range(4)}
    fast = Statistics(done=9, seconds=3600.0, cpu_seconds=3600.0, pairs=pairs, psnr=(100.0,) * 4, steps=9, computed=3)
    text = " ".join(shown(summary(models={"flux": fast}, price_per_hour=2.0)).split())
    assert "CPU hours saved │ 1.015" in text
    assert "money saved │ 2.03" in text
    assert "PSNR to uncached, median and worst │ identical │" in text
    for unsure in (replace(fast, computed=9), replace(fast, pairs={"0": pairs["0"]})):
        assert unsure.hours_saved is None
        assert "CPU hours saved │ not distinguishable from none" in " ".join(
            shown(summary(models={"flux": unsure})).split()
        )


def test_a_run_that_had_nothing_to_do_leaves_the_figures_of_the_one_before() -> None:
    before = json.loads(summary().to_json())["models"]["flux"]["run"]
    nothing = summary(runs={}, earlier={"flux": before, "gone": {}})
    assert json.loads(nothing.to_json())["models"]["flux"]["run"] == before
    (row,) = pq.read_table(io.BytesIO(nothing.to_parquet())).to_pylist()
    assert row["run_rows_per_second"] == 0.1
    again = summary(runs={"flux": Tally(done=1)}, earlier={"flux": before})
    assert json.loads(again.to_json())["models"]["flux"]["run"]["done"] == 1


def test_without_audit_or_price_nothing_is_made_up() -> None:
    text = " ".join(shown(summary(models={"flux": Statistics(done=3)}, runs={})).split())
    assert "speed-up, measured │ - (no row audited)" in text
    assert "PSNR to uncached, median and worst │ -" in text
    assert "money" not in text


def test_each_model_has_a_column() -> None:
    text = shown(summary(models={name: Statistics(done=index) for index, name in enumerate(("a", "b", "c"))}))
    assert [line.split()[3:8:2] for line in text.splitlines() if "rows done" in line] != []
    assert all(name in text for name in ("a", "b", "c"))


def test_the_json_holds_the_same_figures_and_no_infinities() -> None:
    data = json.loads(summary(price_per_hour=3600.0).to_json())
    model = data["models"]["flux"]
    assert (data["job"], data["version"]) == ("fox", 2)
    assert (model["done"], model["failed"], model["audited"]) == (5, 1, 4)
    assert model["speedup_interval"] == {"low": 1.0, "high": 2.0}
    assert model["psnr"] == {"median": 32.5, "worst": 20.0, "low": None, "high": None}
    assert (model["failure_rate"], model["last_created_at"]) == (1 / 6, "2026-01-02T03:04:05+00:00")
    assert model["cost"] == 18.0
    # 4 rows in all, 2 of them in the first batch; 20 seconds after it.
    assert model["run"]["rows_per_second"] == 0.1
    assert json.loads(summary(models={"flux": Statistics()}).to_json())["models"]["flux"]["speedup"] is None


def test_failed_rows_of_all_models_count() -> None:
    assert summary(models={name: Statistics(failed=2) for name in "abc"}).failed == 6


def test_the_parquet_has_the_same_figures_with_one_schema_for_every_night() -> None:
    first, empty, none = (
        pq.read_table(io.BytesIO(what.to_parquet()))
        for what in (summary(), summary(models={name: Statistics() for name in "abc"}), summary(models={}))
    )
    assert first.schema == empty.schema == none.schema
    assert [table.num_rows for table in (first, empty, none)] == [1, 3, 0]
    (row,) = first.to_pylist()
    figures = json.loads(summary().to_json())["models"]["flux"]
    assert (row["version"], row["job"], row["model"], row["unit"]) == (2, "fox", "flux", "cpu")
    assert (row["psnr_median"], row["run_rows_per_second"]) == (32.5, figures["run"]["rows_per_second"])
    assert (row["speedup"], row["speedup_interval_low"]) == (figures["speedup"], 1.0)
    assert first.schema.field("done").type == pa.int64()
