import numpy as np
import pytest

from jobs.accounting.intervals import Interval, of_drawn_median, of_median, of_ratio, of_share


def test_wilson_as_in_a_textbook() -> None:
    # 1 of 10: centre (0.1 + 3.8416 / 20) / 1.38416 = 0.2110, half width 0.1931.
    found = of_share(1, 10)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    none = of_share(0, 1000)
    assert none is not None
    assert (none.low, none.high) == pytest.approx((0.0, 0.00383), abs=1e-5)
    assert of_share(0, 0) is None


def test_too_few_values_give_no_interval() -> None:
    assert of_ratio([(2.0, 1.0)]) is None
    assert of_median([1.0] * 5) is None
    assert of_median([1.0] * 6) == Interval(low=1.0, high=1.0)


@pytest.mark.parametrize("count", [8, 30, 200])
def test_the_interval_of_a_median_holds_it_about_95_times_in_100(count: int) -> None:
    random = np.random.default_rng(count)
    found = [of_median(random.exponential(size=count).tolist()) for _ in range(1000)]
    held = sum(each is not None and each.low <= np.log(2) <= each.high for each in found)
    assert 935 <= held <= 995


def test_the_interval_of_a_ratio_holds_it_about_95_times_in_100() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        seconds = random.uniform(1, 3, size=40)
        found = of_ratio(list(zip(seconds * 2 + random.normal(0, 0.3, size=40), seconds, strict=True)))
        held += found is not None and found.low <= 2 <= found.high
    assert held >= 88


def test_a_drawn_median_lies_within_its_values_and_narrows_with_their_number() -> None:
    few, many = of_drawn_median([1.0, 2.0, 9.0]), of_drawn_median([1.0, 2.0, 9.0] * 40)
    assert few is not None
    assert many is not None
    assert (few.low, few.high) == (1.0, 9.0)
    assert (many.low, many.high) == (2.0, 2.0)
    assert of_drawn_median([3.0]) is None


def test_a_drawn_median_holds_the_true_one_in_most_cases() -> None:
    random = np.random.default_rng(1)
    found = [of_drawn_median(list(random.normal(5, 1, 25))) for _ in range(60)]
    held = sum(interval is not None and interval.low <= 5 <= interval.high for interval in found)
    assert 50 <= held <= 60
