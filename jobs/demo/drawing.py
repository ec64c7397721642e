"""How the demo's pictures and videos are drawn: shapes, palette, texture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.float32]

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
PALETTE = np.array(list(COLORS.values()), dtype=np.float32)


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


def coverage(shape: str, x: float, y: float, radius: float, *, side: int, turn: float = 0.0) -> Masks:
    """How much of every pixel the shape covers, (side, side) in [0, 1], with soft edges."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) + 0.5
    dx, dy = (columns - x) / radius, (rows - y) / radius
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    distance = outline(shape, cosine * dx + sine * dy, -sine * dx + cosine * dy)
    covered: Masks = np.clip(0.5 - distance * radius, 0.0, 1.0).astype(np.float32)
    return covered


def jittered_color(name: str, rng: np.random.Generator) -> Masks:
    """The palette colour, each channel up to 10 off."""
    return np.array(COLORS[name], np.float32) + rng.uniform(-10, 10, 3).astype(np.float32)


def shading(rng: np.random.Generator, amplitude: float, *, side: int) -> NDArray[np.float32]:
    """A slope across the picture in a random direction, (side, side, 1) in [-amplitude, amplitude]."""
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope: Masks = (amplitude * 0.7 * (np.cos(angle) * columns + np.sin(angle) * rows))[..., None].astype(np.float32)
    return slope


def stripes(rng: np.random.Generator, amplitude: float, *, side: int) -> NDArray[np.float32]:
    """Soft stripes of random direction, width and phase, (side, side, 1)."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(9, 18), rng.uniform(0, 2 * np.pi)
    wave = np.sin((np.cos(angle) * columns + np.sin(angle) * rows) * 2 * np.pi / period + phase)
    stripes: Masks = (amplitude * wave)[..., None].astype(np.float32)
    return stripes
