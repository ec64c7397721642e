"""ERNIE-Image, whose blocks have rows in the second dimension."""

from __future__ import annotations

import pytest
from torch import Tensor

import teacache
from tests.teacache.test_samples import check
from tests.teacache.tiny import TINY

tiny = TINY["ErnieImagePipeline"]


@pytest.mark.parametrize("method", ["TeaCache", "TeaCache, order 1", "Adaptive"])
def test_rows_leave_the_second_dimension_and_come_back(method: str) -> None:
    """Prompts of different lengths, so that some text is padding."""
    assert check(tiny, method, (1, 2, 3), [(3, 1, 2)]) > 1


def test_a_block_takes_and_gives_tokens_first_whichever_rows_are_computed() -> None:
    pipe = tiny.make()
    shapes: set[tuple[int, ...]] = set()

    def see(norm: object, args: tuple[Tensor, ...]) -> None:
        shapes.add(tuple(args[0].shape))

    pipe.transformer.final_norm.register_forward_pre_hook(see)
    with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0.3, coefficients=(1.0, 0.0))) as cache:
        tiny.generate(pipe, seeds=(1, 2, 3), guided=True)
    assert shapes == {(16 + 5, 6, 16)}  # 4 x 4 patches and 5 tokens of text; 3 samples, guided
    computed = [sum(step) for step in zip(*cache.stats.calls[0].computed, strict=True)]
    assert {0, 3} < set(computed)  # and some of the three
