"""How near a cached picture or video is to its uncached twin, by every measure that it is large enough for."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from jobs.accounting.audit import IDENTICAL, LARGEST, Picture, fidelity
from jobs.errors import Failure, attempt

MS_SSIM_PIXELS = 176
"""Its five scales halve the picture four times, and the smallest has to hold a window of 11: 11 x 16."""

LPIPS_PIXELS = 64
"""What AlexNet's strides leave something of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Of a picture, or of a video: then the mean over its frames where nothing else is said."""

    psnr: float
    """In dB, of the mean squared error over all frames; 100 stands for equal."""
    ssim: float
    ms_ssim: float | None = None
    """None below MS_SSIM_PIXELS."""
    lpips: float | None = None
    """AlexNet's; None where the package `lpips` is not installed, and below LPIPS_PIXELS."""
    worst_psnr: float | None = None
    """Of the worst frame; None for pictures."""
    flicker: float | None = None
    """How much the error changes from frame to frame: the mean of |(a[t+1] - a[t]) - (b[t+1] - b[t])| over pixels, of
    255. 0 means that the video moves exactly as its twin. None for pictures."""


def likeness(picture: Picture, twin: Picture) -> Likeness:
    """Of frames x height x width x 3 bytes each."""
    psnr, ssim = fidelity(picture, twin)
    small = min(picture.shape[1:3])
    return Likeness(
        psnr=psnr,
        ssim=ssim,
        ms_ssim=_ms_ssim(picture, twin) if small >= MS_SSIM_PIXELS else None,
        lpips=_lpips(picture, twin) if small >= LPIPS_PIXELS and has_lpips() else None,
        worst_psnr=_worst_psnr(picture, twin) if len(picture) > 1 else None,
        flicker=_flicker(picture, twin) if len(picture) > 1 else None,
    )


def has_lpips() -> bool:
    return importlib.util.find_spec("lpips") is not None


def _ms_ssim(picture: Picture, twin: Picture) -> float:
    """Frame by frame: a video's intermediate results would fill the memory."""
    found = [
        multiscale_structural_similarity_index_measure(_images(ours), _images(theirs), data_range=1.0)
        for ours, theirs in zip(picture, twin, strict=True)
    ]
    return float(torch.stack(found).mean())


def _lpips(picture: Picture, twin: Picture) -> float | None:
    network = _network()
    if isinstance(network, Failure):
        return None
    with torch.no_grad():
        found = [
            network(_images(ours) * 2 - 1, _images(theirs) * 2 - 1).mean()
            for ours, theirs in zip(picture, twin, strict=True)
        ]
    return float(torch.stack(found).mean())


@cache
def _network() -> Any:
    """Its backbone's weights are torchvision's, which fetches them at the first use."""
    import lpips

    return attempt(lambda: lpips.LPIPS(net="alex", verbose=False))


def _worst_psnr(video: Picture, twin: Picture) -> float:
    pairs = zip(video, twin, strict=True)
    worst = max(float(np.square(np.subtract(*pair, dtype=np.float64) / 255).mean()) for pair in pairs)
    return min(-10 * float(np.log10(worst)), LARGEST) if worst else IDENTICAL


def _flicker(video: Picture, twin: Picture) -> float:
    errors = (np.subtract(*pair, dtype=np.float32) for pair in zip(video, twin, strict=True))
    return float(np.mean([np.abs(after - before).mean() for before, after in pairwise(errors)]))


def _images(frame: Picture) -> torch.Tensor:
    return torch.tensor(frame).permute(2, 0, 1).unsqueeze(0).float() / 255
