"""Videos and songs that a pipeline makes piece by piece, one after the other in time or side by side: each piece is a
run of its own, and nothing of one reaches the next."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import teacache
from teacache.registry import model_for
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.tiny import TINY, helios, kandinsky_6, wan_animate

TWO_PIECES: dict[str, dict[str, Any]] = {
    "Kandinsky6SRPipeline": {"width": kandinsky_6.TILE + 32},
    "HeliosPipeline": {"num_frames": 2 * helios.CHUNK},
    "WanAnimatePipeline": {"frames": 2 * wan_animate.SEGMENT - 1},  # they share a frame
    "WanAnimate2ModularPipeline": {"segments": 2},
    "MiniMaxMusic3ModularPipeline": {"frames": 300},  # two windows of 200, half of one in the other
    "SanaWMLTX2Refiner": {"parts": 2},
}

WITHOUT_CONTEXT = {"MiniMaxMusic3ModularPipeline", "WanAnimate2ModularPipeline"}
"""Give no names to their guidance branches."""


@pytest.mark.parametrize("name", TWO_PIECES)
def test_every_piece_is_a_run(name: str) -> None:
    tiny = TINY[name]
    pipe = tiny.make()
    guided = tiny.guidance != "none"
    branches = ["cond", "uncond"] if guided else ["0"]
    with teacache.enabled(pipe, EXTREME) as cache:
        latents = tiny.generate(pipe, steps=STEPS, guided=guided, **TWO_PIECES[name])
    numbered = ["0", "1"] if name in WITHOUT_CONTEXT else branches
    assert [call.branch for call in cache.stats.calls] == numbered * 2
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    computed = [step + piece * STEPS for piece in (0, 1) for step in (0, 3, 6)]
    with plainly_cached(pipe.transformer, model_for(pipe.transformer), computed, branches=len(branches)):
        expected = tiny.generate(pipe, steps=STEPS, guided=guided, **TWO_PIECES[name])
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)
