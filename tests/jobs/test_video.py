import hashlib
import io
import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from jobs.config.media import Media
from jobs.media.codecs import settled
from jobs.media.video import to_video

KINDS = [
    {"format": "mp4"},
    {"format": "mp4", "codec": "av1"},
    {"format": "webm"},
    {"format": "webm", "codec": "av1"},
]


def film(num_frames: int = 9, height: int = 64, width: int = 96) -> np.ndarray:
    """A moving gradient: the content of which x264's AVX-512 code made different files."""
    y, x = np.mgrid[:height, :width]
    frames = [np.stack([2 * x + 5 * i, 3 * y + i, x + y + 2 * i], -1) % 256 for i in range(num_frames)]
    return np.stack(frames).astype(np.uint8)


def media(**fields: object) -> Media:
    return settled(Media.model_validate(fields), video=True)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
def test_a_video_plays_back_as_it_was(kind: dict[str, str]) -> None:
    frames = film()
    with av.open(io.BytesIO(to_video(frames, media(**kind, fps=8), comment="a \u00e9")), "r") as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 8
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert {key.lower(): value for key, value in container.metadata.items()}["comment"] == "a \u00e9"
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert shown.shape == frames.shape
    # Colours of 2 x 2 pixels are stored once, which costs this gradient the most: 34 dB at the default crf.
    assert np.mean((shown.astype(float) - frames) ** 2) < 255**2 / 10**3.3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
def test_the_same_frames_are_the_same_bytes(kind: dict[str, str]) -> None:
    frames = film(25)
    assert len({hashlib.sha256(to_video(frames, media(**kind))).hexdigest() for _ in range(6)}) == 1


def test_another_process_writes_the_same_bytes() -> None:
    code = (
        "import hashlib, sys; from tests.jobs.test_video import film, media; from jobs.media.video import to_video;"
        "sys.stdout.write(hashlib.sha256(to_video(film(25), media())).hexdigest())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == hashlib.sha256(to_video(film(25), media())).hexdigest()


def test_a_lower_crf_is_larger() -> None:
    sizes = [len(to_video(film(), media(crf=crf))) for crf in (10, 25, 40)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_rates_need_not_be_whole() -> None:
    with av.open(io.BytesIO(to_video(film(3), media(fps=23.976)))) as container:
        assert container.streams.video[0].average_rate == Fraction(23976, 1000)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="a video needs even height and width, got 63 and 96"):
        to_video(film(height=63), media())


def test_an_encoder_leaves_the_thread_as_it_was() -> None:
    """Run by root, SVT-AV1 makes it a real-time one: all else on that core would wait."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    to_video(film(), media(format="webm", codec="av1"))
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before
