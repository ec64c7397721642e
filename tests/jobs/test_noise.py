import numpy as np
import pytest

from jobs.accounting.intervals import Interval
from jobs.nights.noise import Figure, change


def figures(*values: float) -> list[Figure]:
    return [Figure(value=value) for value in values]


@pytest.mark.parametrize("count", [6, 10, 30])
def test_noise_alone_rings_in_at_most_1_of_100_nights(count: int) -> None:
    random = np.random.default_rng(count)
    rung = 0
    for _ in range(3000):
        *earlier, latest = figures(*(100 + 5 * random.normal(size=count + 1)))
        rung += change(latest, earlier).verdict != "as usual"
    assert rung <= 45  # 1 % of 3,000 is 30, give or take 3 standard deviations of 5.4.


def test_a_change_beyond_the_spread_is_told_with_its_direction() -> None:
    earlier = figures(2.5, 2.52, 2.48, 2.51, 2.49, 2.5, 2.47, 2.53)
    assert change(Figure(value=2.51), earlier).verdict == "as usual"
    assert change(Figure(value=1.9), earlier).verdict == "lower"
    assert change(Figure(value=3.1), earlier).verdict == "higher"
    assert change(Figure(value=3.1), earlier).usual == 2.5


def test_one_odd_night_does_not_hide_the_next() -> None:
    earlier = figures(2.5, 2.52, 2.48, 2.51, 0.1, 2.5, 2.47, 2.53)
    assert change(Figure(value=1.9), earlier).verdict == "lower"


def test_a_figure_that_is_not_sure_itself_is_no_change() -> None:
    earlier = figures(*[40.0] * 8)
    assert change(Figure(value=41.0), earlier).verdict == "higher"
    assert change(Figure(value=41.0, interval=Interval(low=38, high=44)), earlier).verdict == "as usual"
    assert change(Figure(value=40.1), earlier).verdict == "as usual"


def test_few_runs_are_judged_by_their_intervals() -> None:
    before = Figure(value=2.5, interval=Interval(low=2.4, high=2.6))
    assert change(Figure(value=2.7, interval=Interval(low=2.55, high=2.85)), [before]).verdict == "as usual"
    assert change(Figure(value=2.9, interval=Interval(low=2.7, high=3.1)), [before]).verdict == "higher"
    assert change(Figure(value=2.9), [before]).verdict == "too few runs to tell"
    assert change(before, []).verdict == "too few runs to tell"
    assert change(None, [before]).verdict == "not measured"
