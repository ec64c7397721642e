"""Does a picture show what its caption says? A judge that knows how the demo pictures are drawn.

Background: the nearest palette colour of the picture's edge. Object colour: the nearest palette colour of what
differs from the background. Shape and place: the best match among templates of every shape, place and size, drawn
by the renderer itself with small shifts.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from jobs.demo.scenes import COLORS, PALETTE, PLACES, RADII, SHAPES, Masks, Pictures, Scene, coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge sees; `None` where nothing stands out from the background."""

    background: str
    color: str | None
    shape: str | None
    place: str | None
    size: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Shares of the judged pictures that agree with their captions, each in [0, 1]."""

    samples: int
    background: float
    color: float
    place: float
    shape: float
    size: float
    all: float


def judge(picture: Pictures) -> Verdict:
    """Name what a picture of shape (SIDE, SIDE, 3) shows."""
    pixels = picture.astype(np.float32)
    edge = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), pixels[:, :2].reshape(-1, 3),
                           pixels[:, -2:].reshape(-1, 3)])  # fmt: skip
    ground = np.median(edge, axis=0)
    background = _nearest_color(ground)
    difference = np.linalg.norm(pixels - ground, axis=-1)
    standing_out = difference > 60.0
    if standing_out.sum() < 24:
        return Verdict(background=background, color=None, shape=None, place=None, size=None)
    figure = np.median(pixels[difference > 0.75 * np.quantile(difference[standing_out], 0.9)], axis=0)
    axis = figure - ground
    mask = np.clip((pixels - ground) @ axis / max(float(axis @ axis), 1.0), 0.0, 1.0).astype(np.float32)
    shape, place, size = _best_template(mask)
    return Verdict(background=background, color=_nearest_color(figure), shape=shape, place=place, size=size)


def score(pictures: list[Pictures], scenes: list[Scene]) -> Score:
    """Judge pictures against the scenes that their captions describe."""
    verdicts = [judge(picture) for picture in pictures]
    right = {
        field: np.array([getattr(verdict, field) == getattr(scene, field) for verdict, scene in
                         zip(verdicts, scenes, strict=True)])
        for field in ("background", "color", "place", "shape", "size")
    }  # fmt: skip
    shares = {field: float(hits.mean()) for field, hits in right.items()}
    return Score(samples=len(scenes), **shares, all=float(np.logical_and.reduce(list(right.values())).mean()))


def _nearest_color(rgb: NDArray[np.float32]) -> str:
    return list(COLORS)[int(np.argmin(np.linalg.norm(PALETTE - rgb, axis=-1)))]


@cache
def _templates() -> tuple[list[tuple[str, str, str]], Masks]:
    """Every shape, place and size with shifts of up to two pixels and two radii: names and flat masks."""
    names: list[tuple[str, str, str]] = []
    masks: list[Masks] = []
    shifts = (-2.0, 0.0, 2.0)
    for shape, place, size in itertools.product(SHAPES, PLACES, RADII):
        x, y = PLACES[place]
        for dx, dy, scale in itertools.product(shifts, shifts, (0.95, 1.05)):
            names.append((shape, place, size))
            masks.append(coverage(shape, x + dx, y + dy, RADII[size] * scale).ravel())
    return names, np.stack(masks)


def _best_template(mask: Masks) -> tuple[str, str, str]:
    """The template most like the mask, by the Tanimoto coefficient a.b / (a.a + b.b - a.b)."""
    names, templates = _templates()
    flat = mask.ravel()
    overlap = templates @ flat
    union = (templates * templates).sum(axis=1) + flat @ flat - overlap
    return names[int(np.argmax(overlap / union))]
