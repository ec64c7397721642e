"""The indicator's change from step to step, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from teacache.changes import Changes


@pytest.mark.parametrize("strict", [False, True])
def test_the_change_is_relative_to_the_step_before(strict: bool) -> None:
    # Row 0: |2 - 1| + |3 - -3| = 7 over |1| + |-3| = 4. Row 1: |4 - 8| = 4 over 8. Then 0 over 5, and 1 over 4.
    steps = [[[1.0, -3.0], [8.0, 0.0]], [[2.0, 3.0], [4.0, 0.0]], [[2.0, 3.0], [4.0, -1.0]]]
    changes = Changes(strict=strict)
    changes.remember(torch.tensor(steps[0]))
    quotients = []
    for step in steps[1:]:
        above, below = changes.measure(torch.tensor(step))
        quotients.append((above / below).tolist())
    assert quotients == [[1.75, 0.5], [0.0, 0.25]]


def test_the_last_one_is_a_copy() -> None:
    changes, indicator = Changes(), torch.ones(1, 4)
    changes.remember(indicator)
    indicator.zero_()
    assert changes.measure(torch.ones(1, 4)).tolist() == [[0.0], [4.0]]


def test_it_writes_into_no_indicator() -> None:
    changes, indicators = Changes(), [torch.full((1, 2), value) for value in (1.0, 2.0, 4.0)]
    changes.remember(indicators[0])
    for indicator in indicators[1:]:
        changes.measure(indicator)
    assert [indicator.tolist() for indicator in indicators] == [[[1.0, 1.0]], [[2.0, 2.0]], [[4.0, 4.0]]]


def test_only_what_is_alike_is_compared() -> None:
    changes = Changes()
    assert not changes.comparable(torch.ones(2, 3))
    changes.remember(torch.ones(2, 3))
    assert changes.comparable(torch.zeros(2, 3))
    assert not changes.comparable(torch.ones(2, 4))
    assert not changes.comparable(torch.ones(2, 3, dtype=torch.bfloat16))
    changes.remember(torch.ones(2, 4))
    assert changes.measure(torch.zeros(2, 4)).tolist() == [[4.0, 4.0], [4.0, 4.0]]


def test_sums_of_half_precision_are_not_rounded_to_it() -> None:
    changes = Changes()
    changes.remember(torch.ones(1, 1001, dtype=torch.bfloat16))
    assert changes.measure(torch.zeros(1, 1001, dtype=torch.bfloat16)).tolist() == [[1001.0], [1001.0]]
