"""AnyFlow FAR, whose blocks keep keys and values of the chunks of a video that are done."""

from __future__ import annotations

import pytest
import torch

import teacache
from teacache.registry import model_for
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.test_samples import check
from tests.teacache.tiny import TINY

tiny = TINY["AnyFlowFARPipeline"]
CHUNKS = (1, 2, 1)
"""For the last one the first is kept at a lower resolution."""


@pytest.mark.parametrize("method", ["TeaCache", "TeaCache, order 1", "Adaptive"])
def test_each_of_two_samples_is_as_if_alone_in_every_chunk(method: str) -> None:
    assert check(tiny, method, (1, 2), [(2, 1)], chunks=CHUNKS) > 1


def test_every_chunk_is_a_run_and_what_it_leaves_for_others_is_computed() -> None:
    pipe = tiny.make()
    with teacache.enabled(pipe, EXTREME) as cache:
        latents = tiny.generate(pipe, steps=STEPS, guided=True, chunks=CHUNKS)
    assert len(cache.stats.calls) == len(CHUNKS)
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    computed = [step + chunk * STEPS for chunk in range(len(CHUNKS)) for step in (0, 3, 6)]
    with plainly_cached(pipe.transformer, model_for(pipe.transformer), computed):
        expected = tiny.generate(pipe, steps=STEPS, guided=True, chunks=CHUNKS)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


def test_chunks_are_bit_identical_where_nothing_is_skipped() -> None:
    pipe = tiny.make()
    uncached = tiny.generate(pipe, steps=STEPS, chunks=CHUNKS)
    with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0.0, coefficients=(1.0, 0.0))):
        assert torch.equal(tiny.generate(pipe, steps=STEPS, chunks=CHUNKS), uncached)
