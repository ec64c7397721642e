"""Wan-Animate-2, whose unconditional branch leaves out a block, and whose attention a mask guides."""

from __future__ import annotations

import pytest
import torch

import teacache
from teacache.registry import model_for
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.tiny import wan_animate_2


def test_a_block_that_one_branch_leaves_out_is_of_no_account() -> None:
    pipe = wan_animate_2.make_pipeline(num_layers=11)
    calls = 0

    def count(*unused: object) -> None:
        nonlocal calls
        calls += 1

    handle = pipe.transformer.blocks[9].register_forward_hook(count)
    with teacache.enabled(pipe, teacache.Uncached()):
        wan_animate_2.generate(pipe, steps=STEPS, guided=True)
    handle.remove()
    assert calls == 1 + STEPS  # the driving video, and one of two branches
    with teacache.enabled(pipe, EXTREME) as cache:
        found = wan_animate_2.generate(pipe, steps=STEPS, guided=True)
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    with plainly_cached(pipe.transformer, model_for(pipe.transformer), (0, 3, 6), branches=2):
        expected = wan_animate_2.generate(pipe, steps=STEPS, guided=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_where_that_is_the_last_block_it_is_refused() -> None:
    with pytest.raises(teacache.UnsupportedModelError, match="leaves out block 9, which is its last one"):
        teacache.enable(wan_animate_2.make_pipeline(num_layers=10), EXTREME)
