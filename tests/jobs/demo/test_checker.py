from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jobs.demo.checker import PICTURE_FIELDS, VIDEO_FIELDS, judge_picture, judge_video, score
from jobs.demo.dataset import Dataset, Pixels
from jobs.demo.motions import videos
from jobs.demo.scenes import pictures

BLUE = (40, 70, 215)
CASES = [(pictures(), judge_picture, PICTURE_FIELDS), *((videos(n), judge_video, VIDEO_FIELDS) for n in (9, 13))]
WRONG = {"size": "large", "color": "red", "shape": "ring", "place": "at the top", "background": "white",
         "direction": "up and left"}  # fmt: skip


@pytest.mark.parametrize(("dataset", "judge", "fields"), CASES)
def test_the_checker_sees_what_the_renderer_drew(
    dataset: Dataset[Any], judge: Callable[[Pixels], Any], fields: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    sample = dataset.held_out(64, seed=3)
    found = score([dataset.render(scene, rng) for scene in sample], sample, judge, fields)
    assert found.samples == 64
    assert tuple(found.right) == fields
    assert min(found.right.values()) >= 0.98


@pytest.mark.parametrize(
    ("dataset", "judge", "fields", "field"), [(*case, field) for case in CASES[:2] for field in case[2]]
)
def test_the_checker_notices_every_kind_of_mistake(
    dataset: Dataset[Any], judge: Callable[[Pixels], Any], fields: tuple[str, ...], field: str
) -> None:
    """What differs from its caption in one attribute scores zero in it and full marks in the others."""
    drawn = [scene for scene in dataset.held_out(256, seed=4) if getattr(scene, field) != WRONG[field]]
    drawn = [scene for scene in drawn if WRONG["background"] != scene.color and WRONG["color"] != scene.background]
    rng = np.random.default_rng(0)
    samples = [dataset.render(replace(scene, **{field: WRONG[field]}), rng) for scene in drawn[:32]]
    found = score(samples, drawn[:32], judge, fields)
    for name in set(fields) - {"size"}:
        assert found.right[name] == pytest.approx(0.0 if name == field else 1.0, abs=0.04)
    assert found.all == 0.0 or field == "size"


def test_an_empty_picture_has_no_shape() -> None:
    verdict = judge_picture(np.full((64, 64, 3), BLUE, np.uint8))
    assert (verdict.background, verdict.color, verdict.shape, verdict.place) == ("blue", None, None, None)


def test_an_empty_video_has_no_shape() -> None:
    verdict = judge_video(np.full((9, 32, 32, 3), BLUE, np.uint8))
    assert (verdict.background, verdict.color, verdict.shape, verdict.direction) == ("blue", None, None, None)


def test_a_shape_that_stands_still_has_no_direction() -> None:
    motion = videos(9).scenes[0]
    first = videos(9).render(motion, np.random.default_rng(0))[:1]
    verdict = judge_video(np.repeat(first, 9, axis=0))
    assert (verdict.color, verdict.shape, verdict.direction) == (motion.color, motion.shape, None)
