"""Indicators worked out from a denoiser's modules, to hold against what a run measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from torch import Tensor, nn

import teacache

EVERY_STEP = teacache.TeaCacheConfig(rel_l1_thresh=0.0, coefficients=(1.0, 0.0))


@contextmanager
def called(module: nn.Module, keep: Callable[[dict[str, Any]], Any]) -> Iterator[list[Any]]:
    """Collects `keep(keyword arguments)` of every call to the module."""
    kept: list[Any] = []
    handle = module.register_forward_pre_hook(lambda _, args, kwargs: kept.append(keep(kwargs)), with_kwargs=True)
    try:
        yield kept
    finally:
        handle.remove()


def changes(indicators: list[Tensor]) -> list[Any]:
    """sum|now - before| / sum|before| of consecutive steps (eq. 4 of the paper, the earlier step below the line)."""
    steps = zip(indicators[1:], indicators, strict=False)
    return [pytest.approx(((now - before).abs().sum() / before.abs().sum()).item(), rel=1e-4) for now, before in steps]
