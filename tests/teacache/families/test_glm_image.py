"""GLM-Image with given pictures, whose keys and values its blocks keep from calls before the run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch

import teacache
from teacache.rows import Selection
from tests.teacache.test_hooks import Abort, abort_at
from tests.teacache.test_models import EXTREME, STEPS
from tests.teacache.test_samples import check
from tests.teacache.test_supply import supplied
from tests.teacache.tiny import TINY

tiny = TINY["GlmImagePipeline"]


@pytest.mark.parametrize("method", ["TeaCache", "TeaCache, order 1"])
def test_rows_that_are_computed_look_at_their_own_pictures(method: str) -> None:
    assert check(tiny, method, (1, 2, 3), [(3, 1, 2)], pictures=True) > 1


def test_of_a_list_by_sample_rows_take_the_tensor_of_their_sample() -> None:
    class Keys:
        def __init__(self) -> None:
            self.of_samples = [torch.full((1, 2), float(sample)) for sample in (0, 1, 2)]
            self.others = [torch.zeros(1, 2), "more"]

    keys = Keys()
    taken = Selection((0, 3, 4), 6).take_from(keys)
    assert [tensor[0, 0].item() for tensor in taken.of_samples] == [0.0, 1.0, 2.0]
    assert [tensor[0, 0].item() for tensor in Selection((4, 5), 6).take_from(keys).of_samples] == [2.0, 2.0]
    assert taken.others is keys.others
    assert len(keys.of_samples) == 3


@pytest.mark.parametrize("on", [lambda pipe: teacache.enabled(pipe, EXTREME), supplied], ids=["EXTREME", "supplied"])
def test_pictures_are_kept_whatever_came_before(on: Callable[[Any], AbstractContextManager[Any]]) -> None:
    """The calls that keep them are not taken for steps of a run that was given up, whose next one would be skipped, nor
    of one that is over."""
    pipe = tiny.make()

    def generate(seed: int, **arguments: Any) -> torch.Tensor:
        return tiny.generate(pipe, seeds=(seed,), steps=STEPS, guided=True, pictures=True, **arguments)

    with on(pipe):
        expected = generate(1)
    with on(pipe) as cache:
        generate(2)
        assert torch.equal(generate(1), expected)
        with pytest.raises(Abort):
            generate(2, callback_on_step_end=abort_at(1))
        assert torch.equal(generate(1), expected)
    if cache is not None:
        assert [call.branch for call in cache.stats.calls] == ["0", "1"] * 3
