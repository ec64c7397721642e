from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.demo.checker import judge, score
from jobs.demo.scenes import SIDE, Scene, all_scenes, held_out_scenes, parse, render, training_scenes

scenes = st.sampled_from(all_scenes())


@given(scenes)
def test_a_caption_reads_back_as_its_scene(scene: Scene) -> None:
    assert parse(scene.caption) == scene


@pytest.mark.parametrize("caption", ["", "a red circle", "a small red circle at the left on a blue background!"])
def test_other_words_are_no_caption(caption: str) -> None:
    with pytest.raises(ValueError, match="not a caption of the demo scenes"):
        parse(caption)


def test_held_out_captions_are_never_trained_on() -> None:
    held_out = {scene.caption for scene in held_out_scenes(900, seed=0)}
    assert len(held_out) == 900
    assert held_out.isdisjoint(scene.caption for scene in training_scenes())
    assert 0.10 < 1 - len(training_scenes()) / len(all_scenes()) < 0.15


def test_pictures_of_one_caption_differ_and_repeat_by_seed() -> None:
    scene = all_scenes()[0]
    one, again, other = (render(scene, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == (SIDE, SIDE, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_checker_sees_what_the_renderer_drew() -> None:
    rng = np.random.default_rng(0)
    sample = held_out_scenes(128, seed=3)
    found = score([render(scene, rng) for scene in sample], sample)
    assert min(found.background, found.color, found.place, found.shape) >= 0.99


@pytest.mark.parametrize("field", [field.name for field in fields(Scene)])
def test_the_checker_notices_every_kind_of_mistake(field: str) -> None:
    """Pictures that differ from their captions in one attribute score zero in it and full marks in the others."""
    wrong = {"size": "large", "color": "red", "shape": "ring", "place": "at the top", "background": "white"}
    drawn = [scene for scene in held_out_scenes(400, seed=4) if getattr(scene, field) != wrong[field]]
    drawn = [scene for scene in drawn if wrong["background"] != scene.color and wrong["color"] != scene.background]
    rng = np.random.default_rng(0)
    pictures = [render(replace(scene, **{field: wrong[field]}), rng) for scene in drawn[:32]]
    found = score(pictures, drawn[:32])
    for name in ("background", "color", "place", "shape"):
        assert getattr(found, name) == pytest.approx(0.0 if name == field else 1.0, abs=0.04)


def test_an_empty_picture_has_no_shape() -> None:
    verdict = judge(np.full((SIDE, SIDE, 3), (40, 70, 215), np.uint8))
    assert (verdict.background, verdict.color, verdict.shape, verdict.place) == ("blue", None, None, None)
