"""Pictures and videos for a page, as data URIs: small, and bounded in all."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from jobs.errors import Failure, attempt
from jobs.media.layouts import load
from jobs.paths import Output

LONGEST_SIDE = 480
"""Pixels; larger pictures are scaled down."""
LOSSLESS_BYTES = 200_000
"""A picture whose lossless form is larger is embedded as WebP of quality 90."""
LIMIT = 8_000_000
"""Bytes of media embedded in one page, before base64 adds a third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """One picture or video that the page carries."""

    uri: str
    video: bool
    width: int
    height: int


class Album:
    """Embeds media of one output until the page is full."""

    def __init__(self, output: Output, room: int = LIMIT) -> None:
        self._output = output
        self.room = room
        self.left_out = 0
        """Media that had no room, or could not be read."""

    def embed(self, row: Mapping[str, Any], column: str = "uri") -> Embedded | None:
        """The row's media, or its uncached twin's (`baseline_uri`); None where there is no room or no file."""
        found = attempt(lambda: self._read(row, column))
        content, kind = (b"", "") if isinstance(found, Failure) else found
        if not content or len(content) > self.room:
            self.left_out += 1
            return None
        self.room -= len(content)
        return Embedded(
            uri=f"data:{kind};base64,{base64.b64encode(content).decode()}",
            video=kind.startswith("video/"),
            width=row["width"],
            height=row["height"],
        )

    def _read(self, row: Mapping[str, Any], column: str) -> tuple[bytes, str]:
        content = load(row[column], self._output) or b""
        kind = str(row["media_type"])
        if kind not in ("video/mp4", "video/webm"):
            return shrunk(content), "image/webp"
        return content, kind


def shrunk(content: bytes) -> bytes:
    """The picture as WebP, at most 480 pixels long: lossless if that is small, for a loss would hide the cache's."""
    with Image.open(io.BytesIO(content)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    exact = _webp(small, lossless=True)
    return exact if len(exact) <= LOSSLESS_BYTES else _webp(small, quality=90)


def _webp(picture: Image.Image, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", **settings)
    return buffer.getvalue()
