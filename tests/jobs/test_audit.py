import math

import numpy as np
import pytest

from jobs.accounting.audit import audited, decibels, fidelity, kept, kept_share, uncached_first

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (16, 24, 3), dtype=np.uint8)


def test_equal_pictures_have_the_highest_figures() -> None:
    assert fidelity(PICTURE, PICTURE.copy()) == pytest.approx((100.0, 1.0))


def test_only_identical_pictures_are_called_so() -> None:
    # Of 256 x 256 x 3 values one differs, by 1: 20 log10(255) + 10 log10(196608) = 101 dB.
    large = np.full((256, 256, 3), 100, dtype=np.uint8)
    other = large.copy()
    other[0, 0, 0] += 1
    psnr, _ = fidelity(large, other)
    assert psnr == 99.9
    assert [decibels(value) for value in (psnr, 100.0, 41.66, None)] == ["99.9 dB", "identical", "41.7 dB", "\u2013"]


def test_psnr_is_that_of_the_mean_square_error() -> None:
    flat = np.full((16, 24, 3), 100, dtype=np.uint8)
    # Each of three in a row differs by 51 = 0.2 of the range: error 0.04, so 10 log10(1 / 0.04).
    psnr, ssim = fidelity(flat, flat + 51)
    assert psnr == pytest.approx(10 * math.log10(25), abs=1e-4)
    assert ssim < 1


def test_worse_pictures_have_lower_figures() -> None:
    noises = [
        np.clip(PICTURE + RANDOM.normal(0, sigma, PICTURE.shape), 0, 255).astype(np.uint8) for sigma in (2, 9, 40)
    ]
    figures = [fidelity(noise, PICTURE) for noise in noises]
    assert figures == sorted(figures, reverse=True)


def test_either_run_goes_first_half_of_the_time() -> None:
    assert sum(uncached_first(f"row-{index}") for index in range(1000)) == pytest.approx(500, abs=60)


def test_none_and_all_can_be_audited() -> None:
    ids = [f"row-{index}" for index in range(50)]
    assert not any(audited(row_id, 0.0) for row_id in ids)
    assert all(audited(row_id, 1.0) for row_id in ids)


def test_a_video_is_as_near_as_its_frames() -> None:
    video = np.stack([PICTURE, PICTURE // 2, 255 - PICTURE])
    noise = RANDOM.integers(0, 3, video.shape, dtype=np.uint8)
    other = np.clip(video.astype(int) + noise, 0, 255).astype(np.uint8)
    psnr, ssim = fidelity(video, other)
    each = [fidelity(*pair) for pair in zip(video, other, strict=True)]
    assert ssim == pytest.approx(np.mean([frame[1] for frame in each]))
    # Mean squared errors are averaged, not decibels.
    assert psnr == pytest.approx(-10 * math.log10(np.mean([10 ** (-frame[0] / 10) for frame in each])), abs=1e-4)
    assert fidelity(video, video) == pytest.approx((100.0, 1.0))


def test_about_as_many_twins_are_kept_as_wanted() -> None:
    share = kept_share(50, num_rows=10_000, fraction=0.1)
    assert sum(kept(f"row-{index}", share) for index in range(1000)) == pytest.approx(50, abs=20)
    assert (kept_share(50, 100, 0.02), kept_share(0, 100, 1.0), kept_share(50, 0, 0.0)) == (1.0, 0.0, 1.0)
