"""Latte, whose blocks have a row for every frame or for every place, so several for each sample."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor

import teacache
from teacache.registry import model_for
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, skipping, steps_computed
from tests.teacache.test_samples import check
from tests.teacache.tiny import TINY, latte

tiny = TINY["LattePipeline"]
PLACES = 4 * 4


@pytest.mark.parametrize("method", ["TeaCache", "TeaCache, order 1", "Adaptive"])
def test_each_of_three_samples_is_as_if_alone(method: str) -> None:
    assert check(tiny, method, (1, 2, 3), [(3, 1, 2)]) > 1


def test_all_rows_of_a_sample_are_computed_or_none() -> None:
    pipe = tiny.make()
    rows: dict[str, list[int]] = defaultdict(list)

    def count(name: str) -> Any:
        return lambda module, args, kwargs: rows[name].append(len(kwargs.get("hidden_states", args[0])))

    for name in ("transformer_blocks", "temporal_transformer_blocks"):
        getattr(pipe.transformer, name)[1].attn1.register_forward_pre_hook(count(name), with_kwargs=True)
    with teacache.enabled(pipe, skipping(tiny)) as cache:
        tiny.generate(pipe, seeds=(1, 2, 3), guided=True)
    computed = [2 * sum(step) for step in zip(*cache.stats.calls[0].computed, strict=True) if any(step)]
    assert {2, 4} & set(computed)  # of 3 samples, guided: at some steps not all
    assert rows["transformer_blocks"] == [samples * latte.FRAMES for samples in computed]
    assert rows["temporal_transformer_blocks"] == [samples * PLACES for samples in computed]


def test_without_temporal_attention_as_well() -> None:
    """Then the last block is not called."""
    pipe = tiny.make()
    with teacache.enabled(pipe, EXTREME) as cache:
        latents: Tensor = tiny.generate(pipe, steps=STEPS, guided=True, enable_temporal_attentions=False)
    assert steps_computed(cache.stats) == {(0, 3, 6)}
    with plainly_cached(pipe.transformer, model_for(pipe.transformer), (0, 3, 6), exit_at="norm_out"):
        expected = tiny.generate(pipe, steps=STEPS, guided=True, enable_temporal_attentions=False)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)
