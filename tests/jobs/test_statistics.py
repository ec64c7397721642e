import functools
import math
import operator
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.accounting.statistics import Pair, Statistics, per_model, summed
from jobs.rows import Row, table, values
from tests.jobs.test_rows import made

SECONDS = st.floats(0, 1e6)
PAIR = ("seconds", "baseline_seconds")
STATISTICS = st.builds(
    Statistics,
    done=st.integers(0, 10**9),
    failed=st.integers(0, 10**9),
    seconds=SECONDS,
    steps=st.integers(0, 10**9),
    computed=st.integers(0, 10**9),
    num_bytes=st.integers(0, 10**15),
    gpu_seconds=SECONDS,
    cpu_seconds=SECONDS,
    audit_gpu_seconds=SECONDS,
    audit_cpu_seconds=SECONDS,
    pairs=st.dictionaries(st.sampled_from("abc"), st.builds(Pair, seconds=SECONDS, baseline_seconds=SECONDS)),
    psnr=st.lists(st.floats(0, 100), max_size=3).map(tuple),
    ssim=st.lists(st.floats(-1, 1), max_size=3).map(tuple),
    rows_by_step=st.lists(st.integers(0, 10**9), max_size=3).map(tuple),
    computed_by_step=st.lists(st.integers(0, 10**9), max_size=3).map(tuple),
    first_created_at=st.none() | st.datetimes(),
    last_created_at=st.none() | st.datetimes(),
)


def same(one: Statistics, other: Statistics) -> bool:
    """Counts exactly, times to rounding, audited rows in any order."""
    counts = operator.attrgetter(
        *("done", "failed", "steps", "computed", "num_bytes"),
        *("rows_by_step", "computed_by_step", "first_created_at", "last_created_at"),
    )
    times = operator.attrgetter("seconds", "gpu_seconds", "cpu_seconds", "audit_gpu_seconds", "audit_cpu_seconds")

    def pairs(statistics: Statistics) -> dict[str, float]:
        return {f"{call} {name}": getattr(pair, name) for call, pair in statistics.pairs.items() for name in PAIR}

    return (
        counts(one) == counts(other)
        and times(one) == pytest.approx(times(other))
        and pairs(one) == pytest.approx(pairs(other))
        and (sorted(one.psnr), sorted(one.ssim)) == (sorted(other.psnr), sorted(other.ssim))
    )


@given(st.lists(STATISTICS, min_size=3, max_size=3))
def test_statistics_add_in_any_order(three: list[Statistics]) -> None:
    first, *others = [functools.reduce(operator.add, order) for order in permutations(three)]
    assert all(same(first, other) for other in [*others, three[0] + (three[1] + three[2]), Statistics() + first])


def rows() -> list[Row]:
    """Two calls of two rows, audited, a call of one row, and a failed row."""
    columns = [
        {"batch": "x", "seconds": 1.0, "baseline_seconds": 2.0, "psnr": 30.0, "ssim": 0.9},
        {"batch": "x", "seconds": 1.0, "baseline_seconds": 2.0, "psnr": 40.0, "ssim": 0.8},
        {"batch": "y", "seconds": 2.0, "baseline_seconds": 2.0, "psnr": 35.0, "ssim": 0.7},
        {"batch": "y", "seconds": 2.0, "baseline_seconds": 2.0, "psnr": 20.0, "ssim": 0.6},
        {"batch": "z", "seconds": 3.0, "computed_mask": "110 101"},
    ]
    done = [
        made(id=str(index), steps=28, computed=14, num_bytes=10, num_cpus=2.0, **each)
        for index, each in enumerate(columns)
    ]
    return [Row(**values(each, Row)) for each in [*done, made(id="bad", error="ValueError: no")]]


def test_sums_and_ratios_of_rows() -> None:
    model = summed(table(Row, rows()))
    assert (model.done, model.failed, model.audited) == (5, 1, 4)
    assert (model.steps, model.computed, model.computed_share, model.num_bytes) == (140, 70, 0.5, 50)
    assert model.seconds == 9.0
    # The row of call z, in two guidance branches.
    assert (model.rows_by_step, model.computed_by_step) == ((2, 2, 2), (2, 1, 1))
    assert model.failure_rate == 1 / 6
    assert model.pictures_per_second == pytest.approx(5 / 9)
    # Audited calls: (2 + 2) + (2 + 2) seconds without the cache, (1 + 1) + (2 + 2) with it.
    assert model.speedup == pytest.approx(8 / 6)
    # Either call alone: 4 / 2 and 4 / 4.
    assert model.speedup_interval is not None
    assert (model.speedup_interval.low, model.speedup_interval.high) == (1.0, 2.0)
    # 9 seconds of 2 CPUs. A third of that again would be saved, but the interval begins at 1.
    assert model.unit == "cpu"
    assert model.hours == pytest.approx(18 / 3600)
    assert model.hours_saved is None
    slower = {name: Pair(seconds=pair.baseline_seconds * 4, baseline_seconds=2) for name, pair in model.pairs.items()}
    assert (replace(model, pairs=slower).hours_saved or 0) < 0
    assert model.audit_hours == pytest.approx(16 / 3600)


def test_hours_are_gpu_hours_where_there_are_gpus() -> None:
    model = summed(table(Row, [Row(**values(made(seconds=3600.0, num_gpus=2.0, num_cpus=8.0), Row))]))
    assert (model.unit, model.hours, model.hours_saved, model.speedup) == ("gpu", 2.0, None, None)


def test_nothing_is_no_figure() -> None:
    nothing = Statistics()
    assert (nothing.speedup, nothing.speedup_interval, nothing.pictures_per_second) == (None, None, None)
    assert (nothing.computed_share, nothing.hours_saved, nothing.hours) == (None, None, 0.0)


def test_the_interval_narrows_with_more_calls_and_is_reproducible() -> None:
    def interval(calls: int) -> float:
        pairs = {str(call): Pair(seconds=1.0, baseline_seconds=2.0 + math.sin(call)) for call in range(calls)}
        found = Statistics(pairs=pairs).speedup_interval
        assert found is not None
        assert found == Statistics(pairs=dict(reversed(pairs.items()))).speedup_interval
        return found.high - found.low

    assert interval(10) > interval(100) > interval(1000)


def test_models_are_added_up_apart() -> None:
    parts = [[Row(**values(made(id=f"{model}{index}", model=model), Row)) for index in range(3)] for model in "abc"]
    batches = [batch for part in parts for batch in table(Row, part).to_batches(max_chunksize=1)]
    assert {name: model.done for name, model in per_model(batches[::-1]).items()} == {"a": 3, "b": 3, "c": 3}
    assert per_model([]) == {}
