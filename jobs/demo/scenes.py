"""The captioned pictures that the demo models are trained on.

A scene is one flat shape on a plain background; its caption says size, colour, shape, place and background.
`render` draws it with jitter and texture, so that two pictures of one caption differ and a model has something
to denoise. `held_out` sets one caption in eight aside: no model ever sees those in training.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Masks = NDArray[np.float32]

SIDE = 64

RADII = {"small": 8.0, "medium": 12.0, "large": 16.0}
COLORS = {
    "red": (214, 40, 40),
    "green": (34, 150, 60),
    "blue": (40, 70, 215),
    "yellow": (245, 205, 40),
    "purple": (145, 50, 175),
    "cyan": (50, 200, 215),
    "white": (240, 240, 240),
    "black": (22, 22, 26),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
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
PALETTE = np.array(list(COLORS.values()), dtype=np.float32)

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

    @property
    def held_out(self) -> bool:
        """Whether the caption is kept from training: one in eight, by hash, the same on every machine."""
        return hashlib.sha256(self.caption.encode()).digest()[0] < 32


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


def training_scenes() -> tuple[Scene, ...]:
    return tuple(scene for scene in all_scenes() if not scene.held_out)


def held_out_scenes(count: int, *, seed: int) -> list[Scene]:
    """`count` different scenes whose captions no training has seen, drawn at random by `seed`."""
    scenes = [scene for scene in all_scenes() if scene.held_out]
    order = np.random.default_rng(seed).permutation(len(scenes))[:count]
    return [scenes[index] for index in order]


def outline(shape: str, u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signed distance to a shape of radius 1 about the origin (negative inside); y points down."""
    if shape == "circle":
        distance = np.hypot(u, v) - 1.0
    elif shape == "square":
        distance = np.maximum(np.abs(u), np.abs(v)) - 0.88
    elif shape == "triangle":
        slope = np.float32(np.sqrt(3.0) / 2)
        distance = np.maximum(np.abs(u) * slope - v * 0.5, v) - 0.6
    elif shape == "cross":
        arm, length = 0.34, 1.0
        upright = np.maximum(np.abs(u) - arm, np.abs(v) - length)
        level = np.maximum(np.abs(u) - length, np.abs(v) - arm)
        distance = np.minimum(upright, level)
    elif shape == "ring":
        distance = np.abs(np.hypot(u, v) - 0.74) - 0.26
    else:
        raise ValueError(f"unknown shape {shape!r}; known: {', '.join(SHAPES)}")
    return distance.astype(np.float32)


def coverage(shape: str, x: float, y: float, radius: float, *, turn: float = 0.0) -> Masks:
    """How much of every pixel the shape covers, (SIDE, SIDE) in [0, 1], with soft edges."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + 0.5
    dx, dy = (columns - x) / radius, (rows - y) / radius
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    distance = outline(shape, cosine * dx + sine * dy, -sine * dx + cosine * dy)
    covered: Masks = np.clip(0.5 - distance * radius, 0.0, 1.0).astype(np.float32)
    return covered


def _shading(rng: np.random.Generator, amplitude: float) -> NDArray[np.float32]:
    """A slope across the picture in a random direction, (SIDE, SIDE, 1) in [-amplitude, amplitude]."""
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope: Masks = (amplitude * 0.7 * (np.cos(angle) * columns + np.sin(angle) * rows))[..., None].astype(np.float32)
    return slope


def _stripes(rng: np.random.Generator, amplitude: float) -> NDArray[np.float32]:
    """Soft stripes of random direction, width and phase, (SIDE, SIDE, 1)."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(9, 18), rng.uniform(0, 2 * np.pi)
    wave = np.sin((np.cos(angle) * columns + np.sin(angle) * rows) * 2 * np.pi / period + phase)
    stripes: Masks = (amplitude * wave)[..., None].astype(np.float32)
    return stripes


def render(scene: Scene, rng: np.random.Generator) -> Pictures:
    """One picture of the scene, (SIDE, SIDE, 3); place, size, turn, colours and texture vary with `rng`."""
    x, y = PLACES[scene.place]
    x, y = x + rng.uniform(-2, 2), y + rng.uniform(-2, 2)
    radius = RADII[scene.size] * rng.uniform(0.93, 1.07)
    mask = coverage(scene.shape, x, y, radius, turn=rng.uniform(-0.12, 0.12))[..., None]
    ground = np.array(COLORS[scene.background], np.float32) + rng.uniform(-10, 10, 3).astype(np.float32)
    figure = np.array(COLORS[scene.color], np.float32) + rng.uniform(-10, 10, 3).astype(np.float32)
    ground_pixels = ground + _shading(rng, 16.0) + _stripes(rng, rng.uniform(2, 8))
    figure_pixels = figure + _shading(rng, 16.0)
    pixels = ground_pixels * (1 - mask) + figure_pixels * mask
    picture: Pictures = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return picture
