from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.demo.scenes import SIDE, Scene, all_scenes, parse, render

scenes = st.sampled_from(all_scenes())


@given(scenes)
def test_a_caption_reads_back_as_its_scene(scene: Scene) -> None:
    assert parse(scene.caption) == scene


@pytest.mark.parametrize("caption", ["", "a red circle", "a small red circle at the left on a blue background!"])
def test_other_words_are_no_caption(caption: str) -> None:
    with pytest.raises(ValueError, match="not a caption of the demo scenes"):
        parse(caption)


def test_pictures_of_one_caption_differ_and_repeat_by_seed() -> None:
    scene = all_scenes()[0]
    one, again, other = (render(scene, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == (SIDE, SIDE, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
