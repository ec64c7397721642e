"""Contact sheets: many captioned samples in one picture, or in one that moves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from jobs.demo.dataset import Pixels

GAP, TEXT = 8, 34  # pixels between samples, and below each for its caption


def contact_sheet(pictures: Sequence[Pixels], captions: Sequence[str], *, columns: int, zoom: int) -> Image.Image:
    """Pictures of one size in a grid, each with its caption below."""
    height, width = (zoom * length for length in pictures[0].shape[:2])
    rows = -(-len(pictures) // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + TEXT + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = GAP + index % columns * (width + GAP), GAP + index // columns * (height + TEXT + GAP)
        sheet.paste(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST), (x, y))
        draw.multiline_text((x, y + height + 3), textwrap.fill(caption, width // 6), fill="black", spacing=2)
    return sheet


def film_strip(video: Pixels, *, frames: int = 5) -> Pixels:
    """Some frames of a video side by side, the first and the last among them."""
    chosen = np.linspace(0, len(video) - 1, frames).round().astype(int)
    return np.concatenate([np.pad(video[frame], ((0, 0), (0, 1), (0, 0)), constant_values=255) for frame in chosen], 1)


def save(folder: Path, samples: Sequence[Pixels], captions: Sequence[str]) -> None:
    """samples.png, and for videos samples.gif too, in which they move."""
    if samples[0].ndim == 3:
        contact_sheet(samples, captions, columns=4, zoom=3).save(folder / "samples.png", optimize=True)
        return
    strips = [film_strip(video) for video in samples]
    contact_sheet(strips, captions, columns=2, zoom=3).save(folder / "samples.png", optimize=True)
    first, *others = [
        contact_sheet([video[frame] for video in samples], captions, columns=4, zoom=4)
        for frame in range(len(samples[0]))
    ]
    first.save(folder / "samples.gif", save_all=True, append_images=others, duration=125, loop=0, optimize=True)
