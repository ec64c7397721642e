import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jobs.actors.pixels import check_size, pixels_of
from jobs.rows import Sample, values
from tests.jobs.test_rows import made


def sample(**changes: object) -> Sample:
    return Sample(**values(made(height=4, width=6, **changes), Sample))


def test_pictures_are_one_frame_each_rounded_and_clamped() -> None:
    images = torch.tensor([-1.0, 0.5, 2.0]).reshape(1, 3, 1, 1).repeat(2, 1, 4, 6)
    images[:, :, 0, 0] = 1.0
    pixels, num_frames, faults = pixels_of(SimpleNamespace(images=images))
    assert (pixels.shape, num_frames, faults) == ((2, 1, 4, 6, 3), None, ["", ""])
    assert pixels.dtype == np.uint8
    # 0.5 * 255 = 127.5 rounds to the even 128.
    assert (pixels.reshape(2, -1, 3)[:, 1:] == [0, 128, 255]).all()
    check_size(sample(), pixels)


def test_videos_keep_their_frames_in_order() -> None:
    frames = torch.arange(5).reshape(1, 5, 1, 1, 1).expand(2, 5, 3, 4, 6) / 255
    pixels, num_frames, _ = pixels_of(SimpleNamespace(frames=frames))
    assert (pixels.shape, num_frames) == ((2, 5, 4, 6, 3), 5)
    assert (pixels == np.arange(5).reshape(1, 5, 1, 1, 1)).all()
    check_size(sample(num_frames=5), pixels)
    check_size(sample(), pixels)
    with pytest.raises(ValueError, match="asked for num_frames 4, height 4, width 6, the pipeline makes num_f"):
        check_size(sample(num_frames=4), pixels)


def test_a_long_video_is_looked_at_frame_by_frame() -> None:
    frames = torch.rand(1, 64, 3, 32, 32)
    pixels_of(SimpleNamespace(frames=frames))
    tracemalloc.start()
    pixels_of(SimpleNamespace(frames=frames))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < frames.numel() / 4


def test_what_is_no_picture_is_a_fault_of_its_row() -> None:
    images = torch.rand(6, 3, 4, 6)
    images[1, 0, 2, 3] = torch.nan
    images[2] = 0.25
    # The same byte everywhere, and one color everywhere.
    images[3] = 0.25 + torch.rand(3, 4, 6) / 1000
    images[4] = torch.tensor([1.0, 0.0, 0.5]).reshape(3, 1, 1)
    faults = pixels_of(SimpleNamespace(images=images))[2]
    assert faults == [
        "",
        "ValueError: the picture holds NaN or infinity",
        "ValueError: the picture is (64, 64, 64) everywhere",
        "ValueError: the picture is (64, 64, 64) everywhere",
        "ValueError: the picture is (255, 0, 128) everywhere",
        "",
    ]
    still = torch.zeros(1, 5, 3, 4, 6)
    assert pixels_of(SimpleNamespace(frames=still))[2] == ["ValueError: the video is (0, 0, 0) everywhere"]
    still[0, 2, 0, 0, 0] = 1.0
    assert pixels_of(SimpleNamespace(frames=still))[2] == [""]
