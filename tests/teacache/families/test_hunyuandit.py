"""Hunyuan-DiT, the blocks of whose second half also take in what those of the first half gave."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import teacache
from tests.teacache.test_samples import check
from tests.teacache.tiny import TINY

tiny = TINY["HunyuanDiTPipeline"]


@pytest.mark.parametrize("method", ["TeaCache", "TeaCache, order 1", "Adaptive"])
def test_skip_connections_are_those_of_the_rows_that_are_computed(method: str) -> None:
    assert check(tiny, method, (1, 2, 3), [(3, 1, 2)]) > 1


def test_samples_of_controlnets_go_into_the_blocks_of_the_rows_that_are_computed() -> None:
    """They are added to the skip connections."""
    pipe = tiny.make().to(torch.float64)

    def control(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        count = len(args[0])
        samples = [torch.full((count, 16, 16), 0.1 * layer).double() for layer in (1, 2)]
        return args, {**kwargs, "controlnet_block_samples": samples}

    plain = tiny.generate(pipe, seeds=(1, 2, 3), guided=True)
    pipe.transformer.register_forward_pre_hook(control, with_kwargs=True)
    controlled = tiny.generate(pipe, seeds=(1, 2, 3), guided=True)
    assert not torch.allclose(controlled, plain)
    config = teacache.TeaCacheConfig(rel_l1_thresh=tiny.threshold, coefficients=(1.0, 0.0))
    with teacache.enabled(pipe, config) as cache:
        together = tiny.generate(pipe, seeds=(1, 2, 3), guided=True)
        alone = [tiny.generate(pipe, seeds=(seed,), guided=True) for seed in (1, 2, 3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-8, atol=1e-8)
    assert len(set(cache.stats.calls[0].computed)) > 1
