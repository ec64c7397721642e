import pytest

from jobs.report.plots import HEIGHT, WIDTH, Axis, Dot, dots, heat, histogram


def test_an_axis_has_round_ticks_inside_its_range() -> None:
    assert Axis(low=32.7, high=45.2, start=0, end=100).ticks == [35.0, 40.0, 45.0]
    assert Axis(low=0, high=7, start=0, end=100).ticks == [0.0, 2.0, 4.0, 6.0]
    assert Axis(low=0, high=0.004, start=0, end=100).ticks == [0.0, 0.001, 0.002, 0.003, 0.004]
    assert Axis(low=10, high=20, start=100, end=0).at(12.5) == 75.0


def test_a_histogram_counts_every_value_once() -> None:
    values = [30.0, 31.0, 31.0, 44.0, 50.0]
    plot = histogram(values)
    assert plot is not None
    assert sum(bar.count for bar in plot.bars) == 5
    assert (plot.bars[0].low, plot.bars[-1].high) == (30.0, 50.0)
    assert histogram([]) is None
    equal = histogram([100.0] * 3)
    assert equal is not None
    assert max(bar.count for bar in equal.bars) == 3


def test_dots_and_their_intervals_lie_inside_the_plot() -> None:
    plot = dots([Dot(label="a", value=2.0, low=1.5, high=2.5), Dot(label="b", value=9.0), Dot(label="c", value=0.0)])
    assert plot is not None
    places = [plot.y.at(value) for value in (0.0, 1.5, 9.0)] + [plot.x.at(index) for index in range(3)]
    assert all(0 <= place <= WIDTH for place in places)
    assert 0 <= plot.y.at(9.0) < plot.y.at(0.0) <= HEIGHT
    assert dots([]) is None
    assert dots([Dot(label="a", value=0.0)]) is not None


def test_heat_is_a_share_of_the_rows_that_came_so_far() -> None:
    assert heat((4, 4, 2), (4, 1, 2)) == [1.0, 0.25, 1.0]
    with pytest.raises(ValueError, match="shorter"):
        heat((4, 4), (4,))
