"""What a method's settings say together: the best fidelity at a compute saving, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, order=True)
class Point:
    compute: float
    """Saving: uncached operations over the setting's."""
    psnr: float


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats in both, by growing saving."""
    kept: list[Point] = []
    for point in sorted(points, reverse=True):
        if not kept or point.psnr > kept[-1].psnr:
            kept.append(point)
    return kept[::-1]


def psnr_at(points: Sequence[Point], compute: float) -> float | None:
    """Between the two settings around it on a line; None beyond the method's largest saving."""
    line = frontier(points)
    if not line or compute > line[-1].compute:
        return None
    return float(np.interp(compute, [point.compute for point in line], [point.psnr for point in line]))


def compute_at(points: Sequence[Point], psnr: float) -> float | None:
    """The largest saving at this fidelity; None where no setting reaches it.

    Where even the largest saving is better than asked for, that saving: nothing is extrapolated.
    """
    line = frontier(points)[::-1]
    if not line or psnr > line[-1].psnr:
        return None
    return float(np.interp(psnr, [point.psnr for point in line], [point.compute for point in line]))
