from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from teacache.configs import TeaCacheConfig
from teacache.policies import Moment, TeaCache, polynomial
from teacache.recipe import Recipe
from teacache.rows import Ties

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


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=30), st.floats(0, 2), st.floats(0, 2))
def test_a_higher_threshold_never_computes_more(changes: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    lower, higher = (teacache_policy(threshold, max_consecutive_skips=99) for threshold in (low, high))
    assert sum(decide(higher, changes)) <= sum(decide(lower, changes))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=6), st.floats(0, 2))
def test_polynomial_is_highest_degree_first(coefficients: list[float], x: float) -> None:
    expected = sum(c * x**power for power, c in enumerate(reversed(coefficients)))
    assert polynomial(tuple(coefficients), x) == pytest.approx(expected, abs=1e-9)
