"""torch.compile: the same results, blocks compiled as a whole, and no recompilation once a run has been seen."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters

import teacache
from teacache.cache import denoisers_of
from teacache.registry import MODELS, model_for
from tests.teacache.test_hooks import SKIPPING
from tests.teacache.test_models import skipping
from tests.teacache.tiny import TINY
from tests.teacache.tiny.flux import generate, make_pipeline

CONFIGS = (SKIPPING, teacache.AdaptiveConfig(tolerance=0.5), teacache.ScheduleConfig(steps=(0, 1, 4, 9, 11)))


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)  # pytest would keep megabytes of it
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def run_all(
    pipe: FluxPipeline, batches: Sequence[tuple[int, ...]], configs: Sequence[teacache.configs.CacheConfig]
) -> tuple[list[Tensor], teacache.Stats]:
    """Every batch under every config."""
    outputs, stats = [], teacache.Stats()
    for config in configs:
        with teacache.enabled(pipe, config) as cache:
            outputs += [generate(pipe, seeds=seeds) for seeds in batches]
        stats += cache.stats
    return outputs, stats


def rows_computed(stats: teacache.Stats) -> set[int]:
    """The different numbers of rows that a step computed."""
    return {sum(step) for call in stats.calls for step in zip(*call.computed, strict=True)}


def check(
    pipe: FluxPipeline,
    counter: CompileCounterWithBackend,
    batches: Sequence[tuple[int, ...]],
    *,
    added: int,
    exact: bool,
    configs: Sequence[teacache.configs.CacheConfig] = CONFIGS,
) -> teacache.Stats:
    """
    Args:
        added: at most so many graphs are compiled beyond those of the same batches without a cache.
    """
    plain, _ = run_all(make_pipeline(), batches, configs)
    for seeds in batches:
        generate(pipe, seeds=seeds)
    before = counter.frame_count
    outputs, stats = run_all(pipe, batches, configs)
    first = counter.frame_count
    assert 0 < before <= first <= before + added
    again, _ = run_all(pipe, batches, configs)
    assert counter.frame_count == first
    assert not counters["graph_break"]
    for output, repeated, one in zip(outputs, again, plain, strict=True):
        assert torch.equal(output, repeated)
        assert torch.equal(output, one) if exact else torch.allclose(output, one, rtol=1e-4, atol=1e-5)
    return stats


@pytest.mark.parametrize(
    ("backend", "batches", "configs"),
    [("eager", [(0,), (0, 1, 2, 3)], CONFIGS), ("aot_eager", [(0,)], CONFIGS[:1])],
    ids=["eager", "aot_eager"],
)
def test_repeated_blocks_have_no_graph_break(
    pipe: FluxPipeline,
    backend: str,
    batches: Sequence[tuple[int, ...]],
    configs: Sequence[teacache.configs.CacheConfig],
) -> None:
    """fullgraph=True would raise at one. The one more graph stands for blocks that are skipped."""
    counter = CompileCounterWithBackend(backend)
    pipe.transformer.compile_repeated_blocks(backend=counter, fullgraph=True)
    stats = check(pipe, counter, batches, added=1, exact=backend == "eager", configs=configs)
    assert {0, *map(len, batches)} <= rows_computed(stats)
    assert backend == "aot_eager" or {2, 3} & rows_computed(stats)


def test_compiling_while_the_cache_is_on(pipe: FluxPipeline) -> None:
    with teacache.enabled(pipe, SKIPPING) as cache:
        expected = generate(pipe)
        pipe.transformer.compile_repeated_blocks(backend="eager", fullgraph=True)
        assert torch.equal(generate(pipe), expected)
    assert cache.stats.skipped > 0


def test_the_whole_transformer(pipe: FluxPipeline) -> None:
    """The model's own code between the blocks is compiled in pieces; the blocks are as a whole."""
    counter = CompileCounterWithBackend("eager")
    pipe.transformer = torch.compile(pipe.transformer, backend=counter)
    check(pipe, counter, [(0,)], added=15, exact=True, configs=CONFIGS[:1])


def test_off_again_the_compiled_blocks_are_as_before(pipe: FluxPipeline) -> None:
    counter = CompileCounterWithBackend("eager")
    pipe.transformer.compile_repeated_blocks(backend=counter, fullgraph=True)
    uncached, graphs = generate(pipe), counter.frame_count
    with teacache.enabled(pipe, SKIPPING):
        generate(pipe)
    assert torch.equal(generate(pipe), uncached)
    assert counter.frame_count == graphs + 1


BROKEN_IN_DIFFUSERS = {"HiDreamImagePipeline", "WanAnimate2ModularPipeline"}
"""Whose blocks break their graphs themselves."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [model.pipelines[0] for model in MODELS.values()])
def test_in_no_class_the_cache_breaks_the_graph_of_a_block(name: str) -> None:
    tiny = TINY[name]
    seeds = (0, 1, 2) if tiny.batched else (0,)
    pipe, plain, counter = tiny.make(), tiny.make(), CompileCounterWithBackend("eager")
    for denoiser in denoisers_of(pipe):
        for blocks in model_for(denoiser).stack:
            for block in denoiser.get_submodule(blocks.name).children():
                block.compile(backend=counter, fullgraph=name not in BROKEN_IN_DIFFUSERS)

    def run(pipe: Any, config: teacache.configs.CacheConfig) -> Tensor:
        with teacache.enabled(pipe, config):
            return tiny.generate(pipe, seeds=seeds, steps=7, guided=tiny.guidance != "none")

    tiny.generate(pipe, seeds=seeds, steps=7, guided=tiny.guidance != "none")
    graphs, breaks = counter.frame_count, counters["graph_break"].total()
    expected = run(plain, skipping(tiny))
    for time in range(2):
        assert torch.equal(run(pipe, skipping(tiny)), expected)
        before, graphs = graphs, counter.frame_count
        assert graphs == before if time else graphs > before > 0
    assert counters["graph_break"].total() == breaks
