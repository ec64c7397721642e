"""Is caching worth it: which batches are made twice, and how near the cached picture is to the other.

A whole pipeline call is audited or none of it: its twin has the same rows, size and actor, so the ratio of their
seconds is that of production work, and the pictures compared are those delivered. Rerunning only some rows would
time smaller batches than the job runs. The call's first row decides by the hash of its id, so every row is
audited with the same probability, in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobs.ids import fraction_for

if TYPE_CHECKING:
    import torch

IDENTICAL = 100.0
"""Decibels recorded for identical pictures, in place of infinity, which neither JSON nor a mean survives."""
LARGEST = 99.9
"""Decibels recorded for pictures that differ, at most: a bit in a large picture would be more than 100."""

Picture = NDArray[np.uint8]


def audited(first_id: str, fraction: float) -> bool:
    return fraction_for("audit", first_id) < fraction


def uncached_first(first_id: str) -> bool:
    """For every other audited call, so that what favours the second of two runs favours neither side."""
    return fraction_for("order", first_id) < 0.5


def kept(row_id: str, share: float) -> bool:
    """Whether the uncached twin of an audited row is kept beside the media."""
    return fraction_for("keep", row_id) < share


def kept_share(keep: int, num_rows: int, fraction: float) -> float:
    """Of the audited ones of so many rows, the share to keep, so that about `keep` twins lie there in the end."""
    return min(1.0, keep / max(1.0, num_rows * fraction))


def fidelity(picture: Picture, baseline: Picture) -> tuple[float, float]:
    """PSNR in decibels and SSIM of two pictures, height x width x 3 bytes, on a scale of 0 to 1.

    Videos, frames x height x width x 3, have the PSNR of their mean squared error and the mean SSIM of their frames.
    """
    # Imported here: only tasks that meet an audited batch pay for it.
    from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

    psnr, ssim = PeakSignalNoiseRatio(data_range=1.0), StructuralSimilarityIndexMeasure(data_range=1.0)
    frames = (-1, *picture.shape[-3:])
    for pair in zip(picture.reshape(frames), baseline.reshape(frames), strict=True):
        ours, theirs = (_image(frame) for frame in pair)
        psnr.update(ours, theirs)
        ssim.update(ours, theirs)
    identical = np.array_equal(picture, baseline)
    return IDENTICAL if identical else min(float(psnr.compute()), LARGEST), float(ssim.compute())


def decibels(psnr: float | None) -> str:
    """PSNR for people: `41.7 dB`, or `identical`; a dash where none was measured."""
    if psnr is None:
        return "\u2013"
    return "identical" if psnr >= IDENTICAL else f"{psnr:.1f} dB"


def _image(picture: Picture) -> torch.Tensor:
    import torch

    return torch.tensor(picture).permute(2, 0, 1).unsqueeze(0).float() / 255
