"""MiniMax-H3 with a given picture, whose tokens have a timestep of their own."""

from __future__ import annotations

import pytest
from diffusers.modular_pipelines.minimax_h3.modular_blocks_minimax_h3 import MiniMaxH3FL2VACoreDenoiseStep

import teacache
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.tiny import minimax_h3
from tests.teacache.tiny.base import rows


@pytest.mark.parametrize("alone", [False, True], ids=["pipeline", "transformer"])
def test_a_run_with_a_given_picture_is_one_run(alone: bool) -> None:
    pipe = minimax_h3.make_pipeline(MiniMaxH3FL2VACoreDenoiseStep())
    with teacache.enabled(pipe.transformer if alone else pipe, EXTREME) as cache:
        for _ in range(2):
            minimax_h3.generate(
                pipe, steps=STEPS, condition_latents=[rows((7,), 24, 1, 2, 2)], keyframe_anchors=("first",)
            )
    assert [call.steps for call in cache.stats.calls] == [STEPS] * 2
    assert len(steps_computed(cache.stats)) == 1
