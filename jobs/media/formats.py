"""The file formats that a job can write, and which of the media settings each of them heeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A video codec: its encoder in FFmpeg, and the defaults of what can be set."""

    encoder: str
    crf: int
    """Default of the constant rate factor: lower is better and larger. Chosen to look alike at these values."""
    max_crf: int
    options: dict[str, str]
    """What makes the same frames the same bytes: one thread, and no code whose result depends on the machine."""


CODECS = {
    # With x264's AVX-512 code the same frames came out as up to three different files (core 165, in one process);
    # with its SSE4 code always as one, at the same speed.
    "h264": Codec(encoder="libx264", crf=18, max_crf=51, options={"x264-params": "asm=sse4:lookahead-threads=1"}),
    # A bit rate of 0 is what makes crf alone decide.
    "vp9": Codec(encoder="libvpx-vp9", crf=24, max_crf=63, options={"b": "0", "cpu-used": "4", "row-mt": "0"}),
    "av1": Codec(encoder="libsvtav1", crf=24, max_crf=63, options={"preset": "8", "svtav1-params": "lp=1"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    media_type: str
    defaults: dict[str, Any] = field(default_factory=dict)
    """The settings that it heeds."""
    codecs: tuple[str, ...] = ()

    @property
    def is_video(self) -> bool:
        return bool(self.codecs)


FORMATS = {
    "png": Format(media_type="image/png"),
    "jpeg": Format(media_type="image/jpeg", defaults={"quality": 90}),
    "webp": Format(media_type="image/webp", defaults={"quality": 90}),
    "mp4": Format(media_type="video/mp4", defaults={"codec": "h264", "crf": None, "fps": 24.0}, codecs=("h264", "av1")),
    "webm": Format(media_type="video/webm", defaults={"codec": "vp9", "crf": None, "fps": 24.0}, codecs=("vp9", "av1")),
}

PICTURE, VIDEO = "png", "mp4"
"""What is written where the job names no format."""
