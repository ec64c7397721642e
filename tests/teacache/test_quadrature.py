from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from teacache.quadrature import DRIFT, Outputs, candidates, choose_steps, descend, outputs_of, predicted_error, spread
from tests.teacache.test_scheduling import recording

STEPS = 9
GAINS = tuple(np.random.default_rng(5).uniform(-2, -0.5, STEPS).tolist())


def products_of(vectors: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Of a run with these outputs, and a start that has nothing to do with them unless it is given."""
    if start is None:
        start = np.asarray(np.random.default_rng(9).normal(size=vectors.shape[1]))
    whole = np.vstack([start, vectors])
    return np.asarray(whole @ whole.T)


def known(vectors: np.ndarray, gains: tuple[float, ...] = GAINS, first_step: int = 0) -> Outputs:
    products = tuple(map(tuple, products_of(vectors).tolist()))
    return Outputs(first_step=first_step, products=products, gains=gains)


def test_outputs_in_the_plane_of_the_computed_ones_leave_no_error() -> None:
    rng, times = np.random.default_rng(1), np.arange(STEPS)[:, None]
    vectors = rng.normal(size=12) + times * rng.normal(size=12)
    nothing = products_of(vectors, start=np.zeros(12))
    assert predicted_error(nothing, np.array(GAINS), (0, 1)) == pytest.approx(0, abs=1e-3)
    assert predicted_error(nothing, np.array(GAINS), (0, 4)) > 0.01  # step 4 starts beside its place
    # Output 0 and the start span the same plane, so step 4 starts where it should.
    assert predicted_error(products_of(vectors, start=vectors[3]), np.array(GAINS), (0, 4)) < 1e-3


def test_steps_are_numbered_as_the_scheduler_does() -> None:
    vectors = np.random.default_rng(3).normal(size=(STEPS, 20)).cumsum(0)
    late = candidates(known(vectors, first_step=10), 4)
    assert late == {tuple(10 + step for step in steps) for steps in candidates(known(vectors), 4)}


def test_even_distances_are_of_steps_or_of_what_they_move() -> None:
    assert spread((1.0,) * 28, 4, 0.0) == spread((-2.0,) * 28, 4, 1.0) == (0, 7, 14, 21)
    late = (0.01,) * 14 + (1.0,) * 14  # as Mochi's sigmas
    assert spread(late, 4, 0.0) == (0, 7, 14, 21)
    assert spread(late, 4, 1.0) == (0, 17, 21, 24)
    assert spread(late, 28, 1.0) == tuple(range(28))
    assert spread((1.0,) + (0.0,) * 5, 4, 1.0) == (0, 1, 2, 3)  # all further ones are equally far


def test_the_predicted_error_is_that_of_the_result_and_what_errors_on_the_way_add() -> None:
    vectors, steps = np.random.default_rng(4).normal(size=(STEPS, 20)).cumsum(0), (0, 2, 6)
    gains, start = np.array(GAINS), np.random.default_rng(10).normal(size=20)

    def rest(nodes: tuple[int, ...], before: int) -> tuple[float, np.ndarray]:
        target, basis = gains[:before] @ vectors[:before], np.vstack([start, vectors[list(nodes)]]).T
        found = np.linalg.lstsq(basis, target, rcond=None)[0]
        return float(np.sum((basis @ found - target) ** 2)), found

    final, share = rest(steps, STEPS)
    on_the_way = share[2] ** 2 * rest((0,), 2)[0] + share[3] ** 2 * rest((0, 2), 6)[0]
    whole = np.sum((gains @ vectors) ** 2)
    expected = np.sqrt((final + DRIFT**2 * on_the_way) / whole)
    assert predicted_error(products_of(vectors, start), gains, steps) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("computed", range(2, STEPS + 1))
def test_no_step_that_is_chosen_is_better_one_further(computed: int) -> None:
    vectors = np.random.default_rng(6).normal(size=(STEPS, 20)).cumsum(0)
    gains, products = np.array(GAINS), products_of(vectors)
    steps = choose_steps(known(vectors), [spread(GAINS, computed, 0.0)])
    assert len(steps) == computed
    assert steps[0] == 0
    best = predicted_error(products, gains, steps)
    for place in range(1, computed):
        for move in (-1, 1):
            moved = sorted({*steps[:place], steps[place] + move, *steps[place + 1 :]})
            if len(moved) == computed and moved[0] == 0 and moved[-1] < STEPS:
                assert predicted_error(products, gains, moved) >= best * (1 - 2e-4)


def test_a_descent_moves_one_step_at_a_time_and_asks_for_so_many_errors_at_most() -> None:
    asked: list[tuple[int, ...]] = []

    def error_of(steps: tuple[int, ...]) -> float:
        asked.append(steps)
        return 1.0 + abs(steps[1] - 5) + abs(steps[2] - 7)

    assert descend(error_of, (0, 2, 4), 9, (-1, 1)) == (0, 5, 7)
    assert len(asked) == len(set(asked))
    for tries in (1, 2, 5):
        asked.clear()
        found = descend(error_of, (0, 2, 4), 9, (-1, 1), tries)
        assert len(asked) == tries
        assert error_of(found) == min(map(error_of, list(asked)))
    assert descend(error_of, (0, 1, 2), 3, (-1, 1)) == (0, 1, 2)  # nowhere to go


def test_outputs_are_the_mean_of_whole_runs_and_unknown_where_a_scheduler_is_not_linear() -> None:
    def run(vectors: np.ndarray) -> object:
        return replace(recording(vectors), gains=GAINS[: len(vectors)],
                       outputs=tuple(map(tuple, (vectors @ vectors.T).tolist())))  # fmt: skip

    one, two = (np.random.default_rng(seed).normal(size=(STEPS, 4)) for seed in (7, 8))
    outputs = outputs_of([run(one), run(two), run(one[:4])])  # type: ignore[list-item]
    assert outputs is not None
    np.testing.assert_allclose(outputs.products, (one @ one.T + two @ two.T) / 2)
    assert outputs.gains == GAINS
    assert outputs_of([recording(one)]) is None
