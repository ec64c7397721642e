"""A picture on a terminal: by the protocols of kitty and iTerm2 where there are, else as coloured half blocks."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

from PIL import Image
from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style

_KITTY_CHUNK = 4096
"""Bytes of base64 per escape, https://sw.kovidgoyal.net/kitty/graphics-protocol/#remote-client."""

_WIDTH = 60
"""Columns, at most."""


def picture_escape(content: bytes, environment: Mapping[str, str]) -> str | None:
    """What shows a picture on a terminal that can draw one; None where it can't, by its environment."""
    if "KITTY_WINDOW_ID" in environment or environment.get("TERM") in ("xterm-kitty", "xterm-ghostty"):
        return _kitty(content)
    if environment.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        encoded = base64.b64encode(content).decode()
        return f"\x1b]1337;File=inline=1;size={len(content)}:{encoded}\x07\n"
    return None


def half_blocks(content: bytes, width: int = _WIDTH) -> Segments:
    """Two pixels per character: the upper one as its colour, the lower one as its ground."""
    with Image.open(io.BytesIO(content)) as picture:
        small = picture.convert("RGB")
    columns = min(width, _WIDTH, small.width)
    small = small.resize((columns, max(2, round(small.height * columns / small.width / 2) * 2)))
    segments = []
    for y in range(0, small.height, 2):
        for x in range(columns):
            colour, ground = (_colour(small.getpixel((x, row))) for row in (y, y + 1))
            segments.append(Segment("\u2580", Style(color=colour, bgcolor=ground)))
        segments.append(Segment.line())
    return Segments(segments)


def still(content: bytes, media_type: str) -> bytes:
    """The picture, or a video's first frame as one (PNG)."""
    if not media_type.startswith("video/"):
        return content
    import av

    with av.open(io.BytesIO(content), "r") as video:
        frame = next(video.decode(video=0)).to_ndarray(format="rgb24")
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()


def _kitty(content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as picture:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    chunks = [encoded[start : start + _KITTY_CHUNK] for start in range(0, len(encoded), _KITTY_CHUNK)]
    last = len(chunks) - 1
    parts = (
        f"\x1b_G{'a=T,f=100,' if index == 0 else ''}m={int(index < last)};{chunk}\x1b\\"
        for index, chunk in enumerate(chunks)
    )
    return "".join(parts) + "\n"


def _colour(pixel: object) -> Color:
    assert isinstance(pixel, tuple)
    red, green, blue = pixel[:3]
    return Color.from_rgb(red, green, blue)
