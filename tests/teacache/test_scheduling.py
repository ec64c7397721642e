from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from teacache.recording import Recording
from teacache.scheduling import find_schedules, line_errors

STEPS = 7


def recording(residuals: np.ndarray, sensitivities: tuple[float, ...] = (), prompt: int = 0) -> Recording:
    """Of a run whose stack output has norm 1 at every step."""
    products = tuple(map(tuple, (residuals @ residuals.T).tolist()))
    nothing = (0.0,) * (len(residuals) - 1)
    return Recording(
        prompt=prompt, denoiser="transformer", branch="0", first_step=0, indicator=nothing, output=nothing,
        residual=nothing, products=products, norms=(1.0,) * len(residuals), sensitivities=sensitivities,
    )  # fmt: skip


def test_errors_are_the_distances_from_the_line() -> None:
    residuals = np.random.default_rng(0).normal(size=(STEPS, 5))
    errors = line_errors(recording(residuals, sensitivities=(1.0,) * 6 + (3.0,)))
    # through steps 1 and 3, at step 6: r3 + (r3 - r1) x 3 / 2, times the weight 3
    line = residuals[3] + (residuals[3] - residuals[1]) * 1.5
    assert errors[1, 3, 6] == pytest.approx(3 * np.linalg.norm(residuals[6] - line))
    assert errors[2, 2, 4] == pytest.approx(np.linalg.norm(residuals[4] - residuals[2]))
    assert errors[1, 3, 2] == errors[1, 3, 3] == 0


def cost(errors: np.ndarray, steps: tuple[int, ...]) -> float:
    total, older, newer = 0.0, 0, 0
    for step in range(1, len(errors)):
        if step in steps:
            older, newer = newer, step
        else:
            total += errors[older, newer, step]
    return total


def test_schedules_are_the_best_of_all_lists() -> None:
    runs = [recording(np.random.default_rng(seed).normal(size=(STEPS, 5)), prompt=seed) for seed in range(3)]
    errors = np.mean([line_errors(run) for run in runs], axis=0)
    schedules = find_schedules(runs)
    assert [len(schedule.steps) for schedule in schedules] == [2, 3, 4, 5, 6, 7]
    for schedule in schedules:
        inner = combinations(range(1, STEPS - 1), len(schedule.steps) - 2)
        best = min(((0, *some, STEPS - 1) for some in inner), key=lambda steps: cost(errors, steps))
        assert schedule.steps == best
        assert schedule.error == pytest.approx(cost(errors, best))


def test_a_straight_residual_needs_no_more_than_its_first_steps() -> None:
    residuals = np.outer(np.arange(STEPS), np.ones(3))
    (schedule,) = [each for each in find_schedules([recording(residuals)]) if len(each.steps) == 3]
    assert schedule.steps == (0, 1, 6)
    assert schedule.error == pytest.approx(0, abs=1e-6)


def test_steps_are_numbered_as_the_scheduler_does_and_short_branches_have_no_say() -> None:
    residuals = np.random.default_rng(1).normal(size=(STEPS, 5))
    late = replace(recording(residuals), first_step=10)
    short = replace(recording(residuals[:4] * 100), first_step=10)
    expected = find_schedules([recording(residuals)])
    assert [each.steps for each in find_schedules([late, short])] == [
        tuple(10 + step for step in each.steps) for each in expected
    ]
    weights = (9.0,) * 10 + (1.0,) * STEPS
    assert np.allclose(line_errors(replace(late, sensitivities=weights)), line_errors(recording(residuals)))


def test_runs_that_start_at_different_steps_are_refused() -> None:
    runs = [recording(np.ones((3, 2))), replace(recording(np.ones((3, 2))), first_step=1)]
    with pytest.raises(ValueError, match=r"runs that start alike, got steps \[0, 1\]"):
        find_schedules(runs)
