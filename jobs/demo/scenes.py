"""The captioned pictures that the demo models are trained on.

A scene is one flat shape on a plain background; its caption says size, colour, shape, place and background.
`render` draws it with jitter and texture, so that two pictures of one caption differ and a model has something
to denoise.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from jobs.demo.dataset import Dataset, Pixels
from jobs.demo.drawing import COLORS, SHAPES, coverage, jittered_color, shading, stripes

SIDE = 64

RADII = {"small": 8.0, "medium": 12.0, "large": 16.0}
PLACES = {
    "in the top left corner": (19.0, 19.0),
    "at the top": (32.0, 19.0),
    "in the top right corner": (45.0, 19.0),
    "at the left": (19.0, 32.0),
    "in the center": (32.0, 32.0),
    "at the right": (45.0, 32.0),
    "in the bottom left corner": (19.0, 45.0),
    "at the bottom": (32.0, 45.0),
    "in the bottom right corner": (45.0, 45.0),
}
_CAPTION = re.compile(
    rf"a (?P<size>{'|'.join(RADII)}) (?P<color>{'|'.join(COLORS)}) (?P<shape>{'|'.join(SHAPES)}) "
    rf"(?P<place>{'|'.join(PLACES)}) on a (?P<background>{'|'.join(COLORS)}) background"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    size: str
    color: str
    shape: str
    place: str
    background: str

    @property
    def caption(self) -> str:
        return f"a {self.size} {self.color} {self.shape} {self.place} on a {self.background} background"


def parse(caption: str) -> Scene:
    """The scene that a caption describes.

    Raises:
        ValueError: the text is no caption of this set.
    """
    match = _CAPTION.fullmatch(caption)
    if match is None:
        raise ValueError(f"not a caption of the demo scenes: {caption!r}")
    return Scene(**match.groupdict())


@cache
def all_scenes() -> tuple[Scene, ...]:
    """Every scene there is, in a fixed order; object and background never share a colour."""
    return tuple(
        Scene(size=size, color=color, shape=shape, place=place, background=background)
        for size, color, shape, place, background in itertools.product(RADII, COLORS, SHAPES, PLACES, COLORS)
        if color != background
    )


def render(scene: Scene, rng: np.random.Generator) -> Pixels:
    """One picture of the scene, (SIDE, SIDE, 3); place, size, turn, colours and texture vary with `rng`."""
    x, y = PLACES[scene.place]
    x, y = x + rng.uniform(-2, 2), y + rng.uniform(-2, 2)
    radius = RADII[scene.size] * rng.uniform(0.93, 1.07)
    mask = coverage(scene.shape, x, y, radius, turn=rng.uniform(-0.12, 0.12), side=SIDE)[..., None]
    ground, figure = jittered_color(scene.background, rng), jittered_color(scene.color, rng)
    ground_pixels = ground + shading(rng, 16.0, side=SIDE) + stripes(rng, rng.uniform(2, 8), side=SIDE)
    figure_pixels = figure + shading(rng, 16.0, side=SIDE)
    pixels = ground_pixels * (1 - mask) + figure_pixels * mask
    picture: Pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return picture


@cache
def pictures() -> Dataset[Scene]:
    return Dataset(kind="pictures", scenes=all_scenes(), render=render)
