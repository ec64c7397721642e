"""SANA-WM's refiner, whose blocks keep keys and values of the parts of a video that are done."""

from __future__ import annotations

import torch

import teacache
from teacache.registry import model_for
from tests.teacache.families.by_hand import EVERY_STEP, changes
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.tiny import sana_wm_refiner

PARTS = 3


def test_every_part_is_a_run_and_what_it_leaves_for_others_is_computed() -> None:
    pipe = sana_wm_refiner.make_pipeline()
    with teacache.enabled(pipe, EXTREME) as cache:
        latents = sana_wm_refiner.generate(pipe, steps=STEPS, parts=PARTS)
    assert len(cache.stats.calls) == PARTS
    assert cache.stats.steps == PARTS * STEPS
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    computed = [step + part * STEPS for part in range(PARTS) for step in (0, 3, 6)]
    with plainly_cached(pipe.transformer, model_for(pipe.transformer), computed):
        expected = sana_wm_refiner.generate(pipe, steps=STEPS, parts=PARTS)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


def test_parts_are_bit_identical_where_nothing_is_skipped() -> None:
    pipe = sana_wm_refiner.make_pipeline()
    uncached = sana_wm_refiner.generate(pipe, steps=STEPS, parts=PARTS)
    with teacache.enabled(pipe, EVERY_STEP):
        assert torch.equal(sana_wm_refiner.generate(pipe, steps=STEPS, parts=PARTS), uncached)


def test_the_indicator_is_what_the_first_attention_takes_in() -> None:
    pipe = sana_wm_refiner.make_pipeline()
    seen: list[torch.Tensor] = []
    pipe.transformer.transformer_blocks[0].attn1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with teacache.enabled(pipe, EVERY_STEP) as cache:
        sana_wm_refiner.generate(pipe, steps=STEPS)
    (call,) = cache.stats.calls
    assert len(seen) == 1 + STEPS + 1  # the first frame, and the part when it is done
    assert list(call.distances[0][1:-1]) == changes(seen[1:-1])[:-1]
