"""The captioned videos that the demo video models are trained on: a flat shape that moves over a plain background."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from jobs.demo.dataset import Dataset, Pixels
from jobs.demo.drawing import COLORS, SHAPES, coverage, jittered_color, shading

SIDE = 32
RADIUS = 7.0
TRAVEL = 14.0  # pixels from the first frame to the last

DIRECTIONS = {
    "up": (0, -1),
    "down": (0, 1),
    "left": (-1, 0),
    "right": (1, 0),
    "up and left": (-1, -1),
    "up and right": (1, -1),
    "down and left": (-1, 1),
    "down and right": (1, 1),
}

_CAPTION = re.compile(
    rf"a (?P<color>{'|'.join(COLORS)}) (?P<shape>{'|'.join(SHAPES)}) moving (?P<direction>{'|'.join(DIRECTIONS)}) "
    rf"on a (?P<background>{'|'.join(COLORS)}) background"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    color: str
    shape: str
    direction: str
    background: str

    @property
    def caption(self) -> str:
        return f"a {self.color} {self.shape} moving {self.direction} on a {self.background} background"


def parse(caption: str) -> Motion:
    """The motion that a caption describes.

    Raises:
        ValueError: the text is no caption of this set.
    """
    match = _CAPTION.fullmatch(caption)
    if match is None:
        raise ValueError(f"not a caption of the demo motions: {caption!r}")
    return Motion(**match.groupdict())


@cache
def all_motions() -> tuple[Motion, ...]:
    """Every motion there is, in a fixed order; object and background never share a colour."""
    return tuple(
        Motion(color=color, shape=shape, direction=direction, background=background)
        for color, shape, direction, background in itertools.product(COLORS, SHAPES, DIRECTIONS, COLORS)
        if color != background
    )


def render(motion: Motion, rng: np.random.Generator, *, frames: int) -> Pixels:
    """One video (frames, SIDE, SIDE, 3); path, size, turn, colours and shading vary with `rng`, light stays."""
    step = np.array(DIRECTIONS[motion.direction], np.float64)
    step *= TRAVEL * rng.uniform(0.9, 1.1) / math.hypot(*step)
    middle = SIDE / 2 + rng.uniform(-2, 2, size=2)
    radius, turn = RADIUS * rng.uniform(0.93, 1.07), rng.uniform(-0.12, 0.12)
    ground = jittered_color(motion.background, rng) + shading(rng, 16.0, side=SIDE)
    figure = jittered_color(motion.color, rng) + shading(rng, 16.0, side=SIDE)
    video = np.empty((frames, SIDE, SIDE, 3), np.uint8)
    for frame, moment in enumerate(np.linspace(-0.5, 0.5, frames)):
        x, y = middle + moment * step
        mask = coverage(motion.shape, x, y, radius, turn=turn, side=SIDE)[..., None]
        video[frame] = np.clip(np.rint(ground * (1 - mask) + figure * mask), 0, 255)
    return video


@cache
def videos(frames: int) -> Dataset[Motion]:
    return Dataset(kind="videos", scenes=all_motions(), render=partial(render, frames=frames))
