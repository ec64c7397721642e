"""Which steps to compute when the computed outputs are to stand for all: those whose sums are the nearest.

A scheduler that is linear in the denoiser's outputs v_0 ... v_{n-1} ends at a sample that is linear in them too: their
sum, each times its gain, is how far the run goes. Of a schedule's outputs and the sample that the run starts from, a
weighted sum comes nearest to it in mean square over the calibration's runs, as with a quadrature rule that has nodes of
its own. Only inner products are needed to predict how near, for any list of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teacache.recording import Recording

DRIFT = 3.0
"""How much of an error in the sample comes back in the output of a computed step. Of 0, 0.3, 1, 3 and 8, 3 gave the
best pictures on the demo FLUX for 2 to 4 computed steps of 28 (tests/benchmarks/peers/README.md)."""

SHARES = (0.0, 0.5, 1.0)
"""How lists of even distances measure them (`spread`): Mochi's sigmas move the sample by 3 % in their first half."""

MOVES = (-4, -2, -1, 1, 2, 4)
"""How far the search moves one computed step at a time."""

Steps = tuple[int, ...]

_RIDGE = 1e-9  # of the outputs' mean square: what two outputs may have in common before their weights run away


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What is known of a denoiser's outputs in uncached runs, as the scheduler gets them: with guidance."""

    first_step: int
    """The scheduler's index of the first step."""
    products: tuple[tuple[float, ...], ...]
    """Inner products of the first sample and the outputs of all steps, each with each, the mean over runs:
    (1 + steps, 1 + steps)."""
    gains: tuple[float, ...]
    """How far the output of each step moves the run's result."""


def outputs_of(recordings: Sequence[Recording]) -> Outputs | None:
    """What the recordings of one denoiser say together; None where its scheduler is not linear.

    Branches that stop early (Lumina2's `cfg_trunc_ratio`) have no say in it.
    """
    longest = max(recording.steps for recording in recordings)
    whole = [recording for recording in recordings if recording.steps == longest]
    if not all(recording.gains for recording in whole):
        return None
    products = np.mean([recording.outputs for recording in whole], axis=0)
    return Outputs(first_step=whole[0].first_step, products=tuple(map(tuple, products.tolist())), gains=whole[0].gains)


def candidates(outputs: Outputs, computed: int) -> set[Steps]:
    """Lists of so many computed steps that may be good, as the scheduler numbers them: the one that is predicted to be
    the best, and those of even distances."""
    even = [spread(outputs.gains, computed, share) for share in SHARES]
    return {tuple(outputs.first_step + step for step in steps) for steps in (choose_steps(outputs, even), *even)}


def spread(gains: Sequence[float], computed: int, share: float) -> Steps:
    """Steps at even distances, the first among them.

    Args:
        share: 0 measures distances in numbers of steps, 1 in how far they move the sample; in between, in both.
    """
    count, moved = len(gains), np.abs(gains)
    ways = (1 - share) * np.arange(count) / count + share * (np.cumsum(moved) - moved) / moved.sum()
    steps: list[int] = []
    for number in range(computed):
        nearest = int(np.argmin(np.abs(ways - number / computed)))
        steps.append(min(max(nearest, number if not steps else steps[-1] + 1), count - computed + number))
    return tuple(steps)


def choose_steps(outputs: Outputs, starts: Sequence[Steps]) -> Steps:
    """The list with the least predicted error that is found from some lists: to look at all would take too long."""
    products, gains = np.array(outputs.products), np.array(outputs.gains)

    def error_of(steps: Steps) -> float:
        return predicted_error(products, gains, steps)

    return min((descend(error_of, start, len(gains), MOVES) for start in starts), key=error_of)


def descend(
    error_of: Callable[[Steps], float], steps: Steps, count: int, moves: Sequence[int], tries: int = 0
) -> Steps:
    """Move one computed step at a time while that lowers the error.

    Args:
        count: of all steps.
        moves: how far.
        tries: how many errors may be asked for, the first one's among them; 0 for any number.
    """
    errors, improved = {steps: error_of(steps)}, True
    while improved:
        improved = False
        for place in range(1, len(steps)):
            for move in moves:
                moved = tuple(sorted({*steps[:place], steps[place] + move, *steps[place + 1 :]}))
                if len(moved) < len(steps) or moved[0] != 0 or moved[-1] >= count or moved in errors:
                    continue
                if len(errors) == tries:
                    return steps
                errors[moved] = error_of(moved)
                if errors[moved] < errors[steps] * (1 - 1e-4):
                    steps, improved = moved, True
    return steps


def predicted_error(products: NDArray[np.float64], gains: NDArray[np.float64], steps: Sequence[int]) -> float:
    """How wrong the result is predicted to be, relative to how far the run goes, as a root of mean squares.

    An error that is there when a step is computed counts too: it comes back in that step's output and goes on with its
    weight in the result.
    """
    terms = [0, *(step + 1 for step in steps)]  # the first sample is one of them
    gains = np.concatenate([[0.0], gains])
    whole, after = gains @ products @ gains, [*terms[2:], len(gains)]
    sums = np.where(np.arange(len(gains)) < np.array(after)[:, None], gains, 0.0)  # what is due before each step
    lower = np.linalg.cholesky(_among(products, terms))
    explained = np.linalg.solve(lower, products[terms] @ sums.T)
    shares = np.square(np.triu(explained, -1)).sum(axis=0)  # of the sum due before node k + 1, by all terms until then
    errors = np.maximum(0.0, np.einsum("ki,ij,kj->k", sums, products, sums) - shares)
    final = np.linalg.solve(lower.T, explained[:, -1])
    square = errors[-1] + DRIFT**2 * np.square(final[2:]) @ errors[:-1]
    return float(np.sqrt(square / whole)) if whole > 0 else 0.0


def _among(products: NDArray[np.float64], nodes: Sequence[int]) -> NDArray[np.float64]:
    chosen = products[np.ix_(nodes, nodes)]
    return chosen + (_RIDGE * np.trace(chosen) / len(nodes) or 1.0) * np.eye(len(nodes))
