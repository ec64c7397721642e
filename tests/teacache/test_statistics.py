from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacache import CallStats, Stats

steps = st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 10)), min_size=1, max_size=6)
seconds = st.floats(0, 1e6)


@st.composite
def statistics(draw: st.DrawFn) -> Stats:
    calls = []
    for _ in range(draw(st.integers(0, 3))):
        samples = [tuple(zip(*draw(steps), strict=True)) for _ in range(draw(st.integers(1, 3)))]
        computed, distances = zip(*samples, strict=True)
        calls.append(
            CallStats(denoiser="Model", branch="cond", rows=len(samples) * draw(st.integers(1, 3)), computed=computed,
                      distances=distances, block_seconds=draw(seconds), seconds=draw(seconds))
        )  # fmt: skip
    return Stats(calls=tuple(calls))


@given(statistics())
def test_json_round_trip_is_exact(stats: Stats) -> None:
    assert Stats.from_dict(json.loads(json.dumps(stats.to_dict()))) == stats


@given(statistics(), statistics(), statistics())
def test_statistics_add_up_in_any_order(a: Stats, b: Stats, c: Stats) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + Stats() == a == Stats() + a
    for order in ((a, b, c), (c, a, b), (b, c, a)):
        total = sum(order, Stats())
        assert total.steps == a.steps + b.steps + c.steps
        assert total.computed + total.skipped == total.steps
        assert set(total.calls) == {*a.calls, *b.calls, *c.calls}


def call(*computed: str, repeats: int = 1) -> CallStats:
    masks = tuple(tuple(step == "1" for step in mask) for mask in computed)
    distances = tuple((None,) * len(mask) for mask in masks)
    return CallStats(denoiser="Model", branch="0", rows=len(masks) * repeats, computed=masks, distances=distances,
                     block_seconds=0.5, seconds=0.75)  # fmt: skip


def test_totals_of_three_calls() -> None:
    # steps 6 + 1 + 3; computed 3 + 1 + 1
    stats = Stats(calls=(call("101", "100"), call("1"), call("100")))
    assert (stats.steps, stats.computed, stats.skipped, stats.seconds, stats.block_seconds) == (10, 5, 5, 2.25, 1.5)
    assert [one.batch_size for one in stats.calls] == [2, 1, 1]


def test_the_parts_of_the_samples_make_up_the_whole() -> None:
    stats = Stats(calls=(call("101", "100", "111"), call("1", "1", "0")))
    parts = [stats.sample(index) for index in range(3)]
    assert [part.computed for part in parts] == [3, 2, 3]
    assert sum(part.steps for part in parts) == stats.steps
    assert sum(part.seconds for part in parts) == stats.seconds


def test_a_row_that_the_batch_does_not_have_is_no_sample() -> None:
    stats = Stats(calls=(call("101", "100", "111", repeats=2),))
    assert stats.sample(5) == stats.sample(2)  # the other half of guidance as one batch
    assert stats.sample(2).calls[0].rows == 2
    for row in (-1, 6):
        with pytest.raises(IndexError, match=f"the batch has rows 0 to 5, got {row}"):
            stats.sample(row)
