"""Motif-Video, whose last single blocks start anew from the tokens that the first block takes in."""

from __future__ import annotations

import pytest
import torch

import teacache
from teacache.registry import model_for
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.test_samples import check
from tests.teacache.tiny import TINY, motif_video

tiny = TINY["MotifVideoPipeline"]


@pytest.mark.parametrize("decoder", [0, 1, 3], ids=["no decoder", "one block", "all single blocks"])
def test_however_many_blocks_start_anew_a_skipped_step_is_stack_input_plus_residual(decoder: int) -> None:
    pipe = motif_video.make_pipeline(decoder)
    uncached = tiny.generate(pipe, steps=STEPS, guided=True)
    with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0, coefficients=(1.0, 0.0))):
        assert torch.equal(tiny.generate(pipe, steps=STEPS, guided=True), uncached)
    with teacache.enabled(pipe, EXTREME) as cache:
        latents = tiny.generate(pipe, steps=STEPS, guided=True)
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    with plainly_cached(pipe.transformer, model_for(pipe.transformer), (0, 3, 6), branches=2):
        expected = tiny.generate(pipe, steps=STEPS, guided=True)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["TeaCache", "Adaptive"])
def test_the_decoder_of_rows_that_are_computed_reads_their_own_tokens(method: str) -> None:
    assert check(tiny, method, (1, 2, 3), [(3, 1, 2)]) > 1
