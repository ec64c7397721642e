"""Does a picture or a video show what its caption says? A judge that knows how the demo scenes are drawn.

Background: the nearest palette colour of a frame's edge. Object colour: the nearest palette colour of what differs
from the background. Shape and place: the best match among templates of every shape, place and size, drawn by the
renderer itself with small shifts. Direction: the way from the first to the last frame's best match.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.demo import motions, scenes
from jobs.demo.dataset import Pixels
from jobs.demo.drawing import COLORS, PALETTE, SHAPES, Masks, coverage

PICTURE_FIELDS = ("background", "color", "place", "shape", "size")
VIDEO_FIELDS = ("background", "color", "direction", "shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureVerdict:
    """What the judge sees; `None` where nothing stands out from the background."""

    background: str
    color: str | None
    shape: str | None
    place: str | None
    size: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoVerdict:
    """What the judge sees; `None` where nothing stands out from the background, or does not move."""

    background: str
    color: str | None
    shape: str | None
    direction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Shares of the judged samples that agree with their captions, each in [0, 1], by attribute and in all at once."""

    samples: int
    right: dict[str, float]
    all: float


def score(
    samples: Sequence[Pixels], wanted: Sequence[Any], judge: Callable[[Pixels], Any], fields: Sequence[str]
) -> Score:
    """Judge samples against the scenes that their captions describe."""
    verdicts = [judge(sample) for sample in samples]
    hits = {
        field: np.array([getattr(verdict, field) == getattr(scene, field) for verdict, scene in
                         zip(verdicts, wanted, strict=True)])
        for field in fields
    }  # fmt: skip
    right = {field: float(found.mean()) for field, found in hits.items()}
    return Score(samples=len(wanted), right=right, all=float(np.logical_and.reduce(list(hits.values())).mean()))


def judge_picture(picture: Pixels) -> PictureVerdict:
    """Name what a picture of shape (SIDE, SIDE, 3) shows."""
    ground, figure, mask = _look(picture)
    background = _nearest_color(ground)
    if figure is None:
        return PictureVerdict(background=background, color=None, shape=None, place=None, size=None)
    names, templates = _picture_templates()
    shape, place, size = names[int(np.argmax(templates.likeness([mask])))]
    return PictureVerdict(background=background, color=_nearest_color(figure), shape=shape, place=place, size=size)


def judge_video(video: Pixels) -> VideoVerdict:
    """Name what a video of shape (FRAMES, SIDE, SIDE, 3) shows; every frame has a vote on the shape."""
    looks = [_look(frame) for frame in video]
    background = _nearest_color(np.median([ground for ground, _, _ in looks], axis=0))
    figures = [figure for _, figure, _ in looks if figure is not None]
    if len(figures) < len(looks):
        return VideoVerdict(background=background, color=None, shape=None, direction=None)
    places, templates = _video_templates()
    likeness = templates.likeness([mask for _, _, mask in looks]).reshape(len(looks), len(SHAPES), -1)
    shape = int(np.argmax(likeness.max(axis=2).sum(axis=0)))
    path = places[np.argmax(likeness[:, shape], axis=1)]
    return VideoVerdict(
        background=background,
        color=_nearest_color(np.median(figures, axis=0)),
        shape=SHAPES[shape],
        direction=_direction(path[-1] - path[0]),
    )


def _look(picture: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, Masks]:
    """Colour of the background, colour of what stands out from it (if anything does), and how much every pixel does."""
    pixels = picture.astype(np.float32)
    edge = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), pixels[:, :2].reshape(-1, 3),
                           pixels[:, -2:].reshape(-1, 3)])  # fmt: skip
    ground = np.median(edge, axis=0)
    difference = np.linalg.norm(pixels - ground, axis=-1)
    standing_out = difference > 60.0
    if standing_out.sum() < 24:
        return ground, None, np.zeros(pixels.shape[:2], np.float32)
    figure = np.median(pixels[difference > 0.75 * np.quantile(difference[standing_out], 0.9)], axis=0)
    axis = figure - ground
    mask = np.clip((pixels - ground) @ axis / max(float(axis @ axis), 1.0), 0.0, 1.0).astype(np.float32)
    return ground, figure, mask


def _nearest_color(rgb: NDArray[np.float32]) -> str:
    return list(COLORS)[int(np.argmin(np.linalg.norm(PALETTE - rgb, axis=-1)))]


class _Templates:
    """Masks to compare others with."""

    def __init__(self, masks: Sequence[Masks]) -> None:
        self._flat = np.stack([mask.ravel() for mask in masks])
        self._squares = (self._flat * self._flat).sum(axis=1)

    def likeness(self, masks: Sequence[Masks]) -> NDArray[np.float32]:
        """How like each mask every one of them is, by the Tanimoto coefficient a.b / (a.a + b.b - a.b)."""
        flat = np.stack([mask.ravel() for mask in masks])
        overlap = flat @ self._flat.T
        likeness: NDArray[np.float32] = overlap / (self._squares + (flat * flat).sum(axis=1)[:, None] - overlap)
        return likeness


@cache
def _picture_templates() -> tuple[list[tuple[str, str, str]], _Templates]:
    """Every shape, place and size with shifts of up to two pixels and two radii: names and masks."""
    names: list[tuple[str, str, str]] = []
    masks: list[Masks] = []
    shifts = (-2.0, 0.0, 2.0)
    for shape, place, size in itertools.product(SHAPES, scenes.PLACES, scenes.RADII):
        x, y = scenes.PLACES[place]
        for dx, dy, scale in itertools.product(shifts, shifts, (0.95, 1.05)):
            names.append((shape, place, size))
            radius = scenes.RADII[size] * scale
            masks.append(coverage(shape, x + dx, y + dy, radius, side=scenes.SIDE))
    return names, _Templates(masks)


@cache
def _video_templates() -> tuple[NDArray[np.float32], _Templates]:
    """Every shape on a grid of places: the places (one shape's), and the masks, shape by shape."""
    grid = np.arange(6.0, motions.SIDE - 5.0)
    places = np.array(list(itertools.product(grid, grid)), np.float32)
    masks = [coverage(shape, x, y, motions.RADIUS, side=motions.SIDE) for shape in SHAPES for x, y in places]
    return places, _Templates(masks)


def _direction(way: NDArray[np.float32]) -> str | None:
    """The direction nearest to a way in pixels, or none if the way is less than half of what the captions mean."""
    if math.hypot(*way) < motions.TRAVEL / 2:
        return None
    cosines = {name: np.dot(way, step) / math.hypot(*step) for name, step in motions.DIRECTIONS.items()}
    return max(cosines, key=cosines.__getitem__)
