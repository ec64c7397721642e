from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from teacache.configs import AdaptiveConfig, TeaCacheConfig
from teacache.policies import Adaptive, Computed, Moment, Stream, TeaCache, polynomial
from teacache.predictors import Extrapolation
from teacache.recipe import Recipe
from teacache.rows import Selection, Ties

LINE = (1.0, 0.0)


def indicators(changes: Sequence[float]) -> Iterator[Tensor]:
    """One-number indicators whose relative L1 changes are `changes` (doubles, so that they are exact enough)."""
    value = 1.0
    yield torch.tensor([value], dtype=torch.float64)
    for change in changes:
        value *= 1 + change
        yield torch.tensor([value], dtype=torch.float64)


def decide(policy: TeaCache, changes: Sequence[float], *, last_known: bool = True) -> list[bool]:
    trace = list(indicators(changes))
    ties = Ties(1, "sample")
    return [
        policy.decide(moment(step, now, ties, last=last_known and step == len(trace) - 1)).compute[0]
        for step, now in enumerate(trace)
    ]


def moment(step: int, indicator: Tensor, ties: Ties, *, last: bool = False, can_skip: bool | None = None) -> Moment:
    can_skip = step > 0 if can_skip is None else can_skip
    return Moment(step, ties, can_skip, last, partial(torch.clone, indicator.reshape(ties.size, -1)))


def teacache_policy(
    threshold: float,
    coefficients: tuple[float, ...] = LINE,
    strict: bool = False,
    fitted_range: tuple[float, float] | None = None,
    max_consecutive_skips: int = 8,
) -> TeaCache:
    config = TeaCacheConfig(
        rel_l1_thresh=threshold, strict=strict, coefficients=coefficients, max_consecutive_skips=max_consecutive_skips
    )
    return TeaCache(config, Recipe(coefficients=coefficients, fitted_range=fitted_range))


def test_changes_add_up_until_the_threshold_and_start_again_from_zero() -> None:
    # 0.25 skip (0.25), skip (0.50), compute (0.75 >= 0.6, sum back to 0), skip (0.25), last: forced
    assert decide(teacache_policy(0.6), [0.25] * 5) == [True, False, False, True, False, True]


def test_reaching_the_threshold_exactly_computes() -> None:
    assert decide(teacache_policy(0.5), [0.25] * 3) == [True, False, True, True]


def test_without_a_known_end_the_last_step_is_not_forced() -> None:
    assert decide(teacache_policy(0.6), [0.25] * 2, last_known=False) == [True, False, False]


@pytest.mark.parametrize("strict", [False, True])
def test_threshold_zero_computes_even_where_the_polynomial_is_negative(strict: bool) -> None:
    assert all(decide(teacache_policy(0.0, (0.0, -1.0), strict), [0.25] * 6))


def test_strict_lets_negative_values_pull_the_sum_down() -> None:
    # p(x) = 4 x - 0.5: -0.3 at 0.05, 0.9 at 0.35. strict: -0.3, -0.6, 0.3 -> skipped; clamped: 0, 0, 0.9 -> computed
    changes = [0.05, 0.05, 0.35, 0.05]
    assert decide(teacache_policy(0.8, (4.0, -0.5), strict=True), changes) == [True, False, False, False, True]
    assert decide(teacache_policy(0.8, (4.0, -0.5)), changes) == [True, False, False, True, True]


def test_changes_outside_the_fitted_range_are_clamped_into_it() -> None:
    # 0.01 counts as 0.2, 9.0 as 0.3: sums 0.2, 0.5, then 0.8 >= 0.8
    policy = teacache_policy(0.8, fitted_range=(0.2, 0.3))
    assert decide(policy, [0.01, 9.0, 9.0, 0.01]) == [True, False, False, True, True]


def test_skips_in_a_row_are_capped_unless_strict() -> None:
    assert decide(teacache_policy(9.0, max_consecutive_skips=2), [0.0] * 6, last_known=False) == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip
    assert sum(decide(teacache_policy(9.0, strict=True, max_consecutive_skips=2), [0.0] * 20)) == 2


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_change_that_is_no_number_computes(strict: bool, bad: float) -> None:
    policy = teacache_policy(9.0, strict=strict)
    ties = Ties(1, "sample")
    moments = [moment(step, torch.tensor([value]), ties) for step, value in enumerate((1.0, bad, 1.0))]
    assert [policy.decide(each).compute for each in moments] == [(True,), (True,), (True,)]


def test_no_residual_means_no_skip() -> None:
    policy = teacache_policy(9.0)
    ties = Ties(1, "sample")
    moments = [moment(step, now, ties, can_skip=False) for step, now in enumerate(indicators([0.1] * 3))]
    assert all(policy.decide(each).compute[0] for each in moments)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=30), st.floats(0, 2), st.floats(0, 2), st.integers(1, 30))
def test_a_higher_threshold_never_computes_more(changes: list[float], one: float, other: float, most: int) -> None:
    low, high = sorted((one, other))
    lower, higher = (teacache_policy(threshold, max_consecutive_skips=most) for threshold in (low, high))
    assert sum(decide(higher, changes)) <= sum(decide(lower, changes))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=6), st.floats(0, 2))
def test_polynomial_is_highest_degree_first(coefficients: list[float], x: float) -> None:
    expected = sum(c * x**power for power, c in enumerate(reversed(coefficients)))
    assert polynomial(tuple(coefficients), x) == pytest.approx(expected, abs=1e-9)


def adaptive_decisions(residuals: Sequence[float], tolerance: float, weights: Sequence[float] = (),
                       trace: Sequence[bool] = ()) -> list[bool]:  # fmt: skip
    """Of a run of one sample with these residuals (one number each) and a stack input of 10 at every step.

    Args:
        trace: which steps are computed, whatever is decided.
    """
    policy = Adaptive(AdaptiveConfig(tolerance=tolerance), weights)
    predictor, ties, rows = Extrapolation(1), Ties(1, "sample"), Selection((0,), 1)
    decisions = []
    for step, value in enumerate(residuals):
        decision = policy.decide(moment(step, torch.zeros(1), ties, last=step == len(residuals) - 1))
        decisions.append(decision.compute[0])
        if not (trace[step] if trace else decisions[-1]):
            continue
        residual = torch.tensor([[value]], dtype=torch.float64)
        output = residual + 10.0
        stream = Stream(output, residual, partial(predictor.error, step, residual, rows))
        policy.observe(Computed(step, ties, rows, (stream,), mask=None))
        predictor.keep(step, residual, rows)
    return decisions


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_streams_the_one_with_the_largest_relative_error_has_the_say(order: int) -> None:
    # Both err by a curvature of 1 / 14 in the first row, as below, and by none and half of it in the second: the
    # largest relative error counts, however small the stream's numbers are.
    ties, rows, one, zero = Ties(2, "sample"), Selection((0, 1), 2), torch.tensor([[2.0], [0.0]]), torch.zeros(2, 1)
    large = Stream(torch.tensor([[14e3], [14e3]]), zero, lambda: one * 0)
    small = Stream(torch.tensor([[14.0], [14.0]]), zero, lambda: torch.tensor([[2.0], [1.0]]))
    for steps, tolerance in (((4, 5), 0.5), ((5, 6), 1.0)):
        policy = Adaptive(AdaptiveConfig(tolerance=tolerance))
        for step in range(3):
            policy.decide(Moment(step, ties, True, False, lambda: zero))
            policy.observe(Computed(step, ties, rows, (large, small)[::order], mask=None))
        assert tuple(policy._due) == steps


def test_adaptive_skips_as_many_steps_as_the_curvature_allows() -> None:
    # r = i^2: the line through steps 0 and 1 errs at step 2 by 4 - 2 = 2, relative to |10 + 4|: e = 2 / 14, so
    # c = e / (2 x 1) = 1 / 14. After step 2, with 1 the older node: step 3 costs c x 1 x 2 = 0.143, step 4 another
    # c x 2 x 3 = 0.429, together 0.571; 0.5 allows the first only, so step 4 is computed.
    squares = [float(step**2) for step in range(6)]
    assert adaptive_decisions(squares, 0.5)[:5] == [True, True, True, False, True]
    assert adaptive_decisions(squares, 0.6)[:5] == [True, True, True, False, False]
    # A weight of 4 at step 3 makes it cost 0.571 on its own.
    assert adaptive_decisions(squares, 0.5, weights=(1, 1, 1, 4, 1, 1))[:4] == [True, True, True, True]


def test_a_straight_residual_is_skipped_up_to_the_cap_and_tolerance_zero_computes_all() -> None:
    line = [float(step) for step in range(12)]
    assert "".join("01"[step] for step in adaptive_decisions(line, 0.1)) == "111000000101"
    assert all(adaptive_decisions([float(step**2) for step in range(12)], 0.0))


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(0, 3), st.booleans()), min_size=2, max_size=28),
    st.floats(0, 2), st.floats(0, 2),
)  # fmt: skip
def test_a_higher_tolerance_never_computes_what_a_lower_one_skips(
    trace: list[tuple[float, float, bool]], one: float, other: float
) -> None:
    """Of all that may come next after what both have seen."""
    residuals, weights, computed = zip(*trace, strict=True)
    low, high = sorted((one, other))
    lower, higher = (adaptive_decisions(residuals, each, weights, (True, *computed[1:])) for each in (low, high))
    assert all(low or not high for low, high in zip(lower, higher, strict=True))


@given(st.floats(1e-3, 1), st.floats(-1, 1), st.floats(0, 2), st.floats(0, 2))
def test_a_higher_tolerance_never_computes_more(bend: float, slope: float, one: float, other: float) -> None:
    """In a whole run, of residuals of one curvature. Where that jumps, each sees other steps and so another trace."""
    residuals = [bend * step**2 + slope * step for step in range(28)]
    low, high = sorted((one, other))
    assert sum(adaptive_decisions(residuals, high)) <= sum(adaptive_decisions(residuals, low))
