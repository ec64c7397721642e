from __future__ import annotations

import numpy as np
import pytest
import torch

from teacache.rollouts import Fitting, _Truth, default_counts

STEPS = 9
GAINS = tuple(np.random.default_rng(5).uniform(-2, -0.5, STEPS).tolist())


def start_of(vectors: np.ndarray) -> np.ndarray:
    """The sample that the run starts from."""
    return np.asarray(np.random.default_rng(9).normal(size=vectors.shape[1]))


def fitted(vectors: np.ndarray, steps: tuple[int, ...]) -> tuple[Fitting, np.ndarray]:
    """The fit of a run whose outputs are the true ones, and what it passed on."""
    truth = _Truth()
    outputs, start = torch.from_numpy(vectors), torch.from_numpy(start_of(vectors))
    for output in outputs:
        assert truth.hear(output, start) is output
    fitting = Fitting(steps, GAINS, truth)
    nothing = torch.full((vectors.shape[1],), torch.nan, dtype=torch.double)
    passed_on = [fitting.pass_on(step, output if step in steps else nothing, [output], start, computed=step in steps)
                 for step, output in enumerate(outputs)]  # fmt: skip
    return fitting, torch.stack(passed_on).numpy()


@pytest.mark.parametrize("steps", [(0, 4), (0, 3, 4, 7), (0, 1, 2, 5, 8)])
def test_at_every_step_the_sum_is_the_nearest_that_start_and_computed_outputs_give(steps: tuple[int, ...]) -> None:
    vectors = np.random.default_rng(0).normal(size=(STEPS, 20)).cumsum(0)
    gains = np.array(GAINS)[:, None]
    fitting, passed_on = fitted(vectors, steps)
    ours, true = np.cumsum(gains * passed_on, axis=0), np.cumsum(gains * vectors, axis=0)
    for step in range(STEPS):
        basis = np.vstack([start_of(vectors), vectors[[node for node in steps if node <= step]]]).T
        nearest = basis @ np.linalg.lstsq(basis, true[step], rcond=None)[0]
        np.testing.assert_allclose(ours[step], nearest, rtol=1e-3, atol=1e-3)
    assert fitting.error == pytest.approx(np.linalg.norm(ours[-1] - true[-1]) / np.linalg.norm(true[-1]), rel=1e-3)


def test_what_lies_in_the_plane_of_the_computed_outputs_is_exact() -> None:
    """A parabola through three known outputs: nothing is lost, though the first gap was filled with a constant."""
    rng, times = np.random.default_rng(1), np.arange(STEPS)[:, None]
    vectors = rng.normal(size=12) + times * rng.normal(size=12) + times**2 * rng.normal(size=12)
    fitting, passed_on = fitted(vectors, (0, 3, 6))
    np.testing.assert_allclose(np.array(GAINS) @ passed_on, np.array(GAINS) @ vectors, rtol=1e-3)
    assert fitting.error < 1e-4


def test_outputs_that_hold_the_sample_lose_nothing_by_it() -> None:
    """As with v-prediction: two parts of the sample turn into each other on the way."""
    angles = np.linspace(0, np.pi / 2, STEPS)[:, None]
    start, clean = start_of(np.zeros((1, 12))), np.random.default_rng(3).normal(size=12)
    vectors = np.cos(angles) * start - np.sin(angles) * clean
    fitting, passed_on = fitted(vectors, (0, 4))
    np.testing.assert_allclose(np.array(GAINS) @ passed_on, np.array(GAINS) @ vectors, rtol=1e-3)
    assert fitting.error < 1e-4


def test_a_computed_step_with_nothing_skipped_before_it_is_passed_on_as_it_is() -> None:
    vectors = np.random.default_rng(2).normal(size=(STEPS, 20))
    fitting, passed_on = fitted(vectors, tuple(range(STEPS)))
    np.testing.assert_array_equal(passed_on, vectors)
    assert fitting.error == pytest.approx(0, abs=1e-12)
    assert fitting.rows[2] == (0.0, 0.0, 0.0, 1.0)


def test_schedules_are_measured_from_two_thirds_of_the_steps_down() -> None:
    assert default_counts(28) == [2, 3, 4, 5, 6, 7, 9, 11, 14, 19]
    assert default_counts(50)[:4] == [2, 3, 4, 6]
    assert default_counts(2) == []
