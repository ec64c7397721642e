import math
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from jobs.accounting.audit import fidelity
from jobs.evaluation import likeness as measured
from jobs.evaluation.likeness import MS_SSIM_PIXELS, likeness

RANDOM = np.random.default_rng(0)
SMALL = RANDOM.integers(0, 200, (1, 16, 24, 3), dtype=np.uint8)


def test_a_small_picture_has_psnr_and_ssim_only() -> None:
    other = SMALL + RANDOM.integers(0, 20, SMALL.shape, dtype=np.uint8)
    found = likeness(other, SMALL)
    assert (found.psnr, found.ssim) == fidelity(other, SMALL)
    assert (found.ms_ssim, found.lpips, found.worst_psnr, found.flicker) == (None, None, None, None)


def test_ms_ssim_needs_room_for_five_scales() -> None:
    large = RANDOM.integers(0, 256, (1, MS_SSIM_PIXELS, MS_SSIM_PIXELS, 3), dtype=np.uint8)
    assert likeness(large, large).ms_ssim == pytest.approx(1.0)
    noisy = np.clip(large + RANDOM.normal(0, 30, large.shape), 0, 255).astype(np.uint8)
    found = likeness(noisy, large)
    assert found.ms_ssim is not None
    # Noise hurts the finest scale most.
    assert found.ssim < found.ms_ssim < 1
    assert likeness(large[:, 1:], large[:, 1:]).ms_ssim is None


def test_the_worst_frame_of_a_video_is_found() -> None:
    video = np.full((3, 16, 16, 3), 100, dtype=np.uint8)
    other = video.copy()
    other[1] += 51  # 0.2 of the range: error 0.04
    found = likeness(other, video)
    assert found.worst_psnr == pytest.approx(10 * math.log10(25), abs=1e-4)
    assert found.psnr == pytest.approx(10 * math.log10(75), abs=1e-4)
    assert likeness(video, video).worst_psnr == 100.0


def test_flicker_is_how_the_error_changes_not_how_large_it_is() -> None:
    video = RANDOM.integers(50, 200, (3, 16, 16, 3), dtype=np.uint8)
    assert likeness(video + 20, video).flicker == pytest.approx(0.0)
    other = video.copy()
    other[1] -= 12
    # The error goes 0, -12, 0: it changes by 12 each time.
    assert likeness(other, video).flicker == pytest.approx(12.0)


def test_lpips_is_measured_where_its_package_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("lpips")
    package.__spec__ = __spec__

    class LPIPS:
        def __init__(self, net: str, verbose: bool) -> None: ...

        def __call__(self, ours: torch.Tensor, theirs: torch.Tensor) -> Any:
            assert -1 <= ours.min() < 0 < ours.max() <= 1
            return (ours - theirs).abs().mean().view(1, 1, 1, 1)

    vars(package)["LPIPS"] = LPIPS
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(measured, "_network", measured._network.__wrapped__)
    picture = RANDOM.integers(0, 200, (2, 64, 64, 3), dtype=np.uint8)
    assert likeness(picture + 51, picture).lpips == pytest.approx(0.4)  # 0.2 of a range from -1 to 1
    assert likeness(SMALL, SMALL).lpips is None
