"""Frames to a video file, by PyAV: the same frames and settings always give the same bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from jobs.config.media import Media
from jobs.media.formats import CODECS

_BT709 = 1
"""ITU-T H.273: BT.709 primaries, transfer and matrix. Unless told, players guess by the size of the picture."""
_LARGEST_DENOMINATOR = 1000
"""Of a frame rate, as 2997/125 for 23.976."""


def to_video(frames: NDArray[np.uint8], media: Media, comment: str | None = None) -> bytes:
    """A video file, by settled settings, of frames x height x width x 3 bytes of RGB.

    Raises ValueError where height or width is odd: the colours of 2 x 2 pixels are stored once.
    """
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"a video needs even height and width, got {height} and {width}")
    buffer = io.BytesIO()
    with _scheduling_kept():
        _encode(frames, media, comment, buffer)
    return buffer.getvalue()


@contextmanager
def _scheduling_kept() -> Iterator[None]:
    """Run by root, SVT-AV1 4.1 makes the thread that calls it a real-time one, before which all others wait."""
    if not hasattr(os, "sched_setscheduler"):  # macOS
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


def _encode(frames: NDArray[np.uint8], media: Media, comment: str | None, buffer: io.BytesIO) -> None:
    assert media.codec is not None
    assert media.fps is not None
    height, width = frames.shape[1:3]
    # Without this flag the files would hold random identifiers.
    with av.open(buffer, "w", format=media.format, options={"fflags": "+bitexact"}) as container:
        if comment is not None:
            container.metadata["comment"] = comment
        codec, rate = CODECS[media.codec], Fraction(media.fps).limit_denominator(_LARGEST_DENOMINATOR)
        stream = container.add_stream(codec.encoder, rate=rate, options={**codec.options, "crf": str(media.crf)})
        assert isinstance(stream, av.VideoStream)
        _settle(stream.codec_context, height, width)
        for frame in frames:
            container.mux(stream.encode(_converted(frame)))
        container.mux(stream.encode(None))


def _settle(context: VideoCodecContext, height: int, width: int) -> None:
    context.height, context.width = height, width
    context.pix_fmt = "yuv420p"
    # Encoders divide the work by threads, and so would the number of cores decide on the bytes.
    context.thread_count = 1
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = ColorRange.MPEG


def _converted(frame: NDArray[np.uint8]) -> av.VideoFrame:
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
