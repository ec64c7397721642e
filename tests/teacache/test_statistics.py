from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from teacache import CallStats, Stats

steps = st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 10)), min_size=1, max_size=6)
seconds = st.floats(0, 1e6)


@st.composite
def statistics(draw: st.DrawFn) -> Stats:
    calls = []
    for _ in range(draw(st.integers(0, 3))):
        computed, distances = zip(*draw(steps), strict=True)
        calls.append(
            CallStats(denoiser="Model", branch="cond", batch_size=draw(st.integers(1, 8)), computed=computed,
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


def test_totals_of_three_calls() -> None:
    def call(*computed: bool) -> CallStats:
        return CallStats(denoiser="Model", branch="0", batch_size=2, computed=computed,
                         distances=(None,) * len(computed), block_seconds=0.5, seconds=0.75)  # fmt: skip

    stats = Stats(calls=(call(True, False, True), call(True), call(True, False, False)))
    assert (stats.steps, stats.computed, stats.skipped, stats.seconds, stats.block_seconds) == (7, 4, 3, 2.25, 1.5)
