from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.demo.drawing import COLORS
from jobs.demo.motions import DIRECTIONS, SIDE, Motion, all_motions, parse, render

MOTION = Motion(color="white", shape="circle", direction="right", background="black")


@given(st.sampled_from(all_motions()))
def test_a_caption_reads_back_as_its_motion(motion: Motion) -> None:
    assert parse(motion.caption) == motion


@pytest.mark.parametrize("caption", ["", "a red circle", "a red circle moving up and down on a blue background"])
def test_other_words_are_no_caption(caption: str) -> None:
    with pytest.raises(ValueError, match="not a caption of the demo motions"):
        parse(caption)


def test_videos_of_one_caption_differ_and_repeat_by_seed() -> None:
    one, again, other = (render(MOTION, np.random.default_rng(seed), frames=9) for seed in (0, 0, 1))
    assert one.shape == (9, SIDE, SIDE, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_shape_moves_as_the_caption_says(direction: str) -> None:
    video = render(replace(MOTION, direction=direction), np.random.default_rng(0), frames=5).astype(float)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    white = video.sum(axis=-1) > sum(COLORS["white"]) / 2
    way = [np.array([columns[frame].mean(), rows[frame].mean()]) for frame in (white[0], white[-1])]
    # 14 pixels, give or take a tenth; on a diagonal each axis has its share of them.
    wanted = np.array(DIRECTIONS[direction]) * 14 / np.hypot(*DIRECTIONS[direction])
    assert way[1] - way[0] == pytest.approx(wanted, abs=1.9)
