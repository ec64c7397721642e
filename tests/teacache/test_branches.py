"""Guidance branches in real pipelines: two calls at each step, one batch, three calls, guidance that stops half-way."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

import teacache
from teacache.cache import denoisers_of
from tests.teacache.test_hooks import same
from tests.teacache.test_models import EXTREME, skipping
from tests.teacache.tiny import TINY, Tiny
from tests.teacache.variants import SWEPT

STEPS = 5
GUIDED_BY_CALLS = [name for name, tiny in SWEPT.items() if tiny.guidance == "calls" and not tiny.always_guided]
GUIDED_IN_A_BATCH = [name for name, tiny in SWEPT.items() if tiny.guidance == "batch"]


@pytest.mark.parametrize("name", GUIDED_BY_CALLS)
def test_guidance_as_two_calls_is_two_branches(name: str) -> None:
    tiny = SWEPT[name]
    pipe = tiny.make()
    with teacache.enabled(pipe, skipping(tiny)) as cache:
        tiny.generate(pipe, steps=STEPS, guided=True)
        guided = cache.take_stats()
        tiny.generate(pipe, steps=STEPS, guided=False)
    assert len(guided.calls) == tiny.branches * len(cache.stats.calls)
    assert len({call.branch for call in guided.calls}) == tiny.branches
    assert guided.steps == tiny.branches * cache.stats.steps == tiny.branches * tiny.runs * STEPS


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        (name, seeds)
        for name in GUIDED_IN_A_BATCH
        for seeds in [(4,), (4, 5), (4, 5, 6)]
        if SWEPT[name].batched or len(seeds) == 1
    ],
)
def test_the_halves_of_a_guided_batch_are_one_sample(name: str, seeds: tuple[int, ...]) -> None:
    tiny = SWEPT[name]
    pipe = tiny.make()
    with teacache.enabled(pipe, skipping(tiny)) as cache:
        tiny.generate(pipe, seeds=seeds, steps=STEPS, guided=True)
    assert [call.batch_size for call in cache.stats.calls] == [len(seeds)] * tiny.runs
    assert all(call.rows > len(seeds) for call in cache.stats.calls)
    assert [call.steps for call in cache.stats.calls] == [len(seeds) * STEPS] * tiny.runs


def test_lumina2_that_stops_guiding_half_way() -> None:
    tiny = TINY["Lumina2Pipeline"]
    pipe = tiny.make()
    with teacache.enabled(pipe, skipping(tiny)) as cache:
        first, second = (tiny.generate(pipe, steps=STEPS, guided=True, cfg_trunc_ratio=0.5) for _ in range(2))
        truncated = cache.take_stats()
        guided = tiny.generate(pipe, steps=STEPS, guided=True)
    assert torch.equal(first, second)
    assert [(call.branch, call.steps) for call in truncated.calls] == [("0", STEPS), ("1", STEPS // 2)] * 2
    assert truncated.skipped > 0
    with teacache.enabled(pipe, skipping(tiny)):
        assert torch.equal(guided, tiny.generate(pipe, steps=STEPS, guided=True))


def test_z_image_whose_batch_halves_when_it_stops_guiding() -> None:
    """A batch of another size has no residuals: its first step is computed."""
    tiny = TINY["ZImagePipeline"]
    pipe = tiny.make()
    arguments: dict[str, Any] = {"seeds": (1, 2), "steps": 7, "guided": True, "cfg_truncation": 0.5}
    with teacache.enabled(pipe, EXTREME) as cache:
        first, second = (tiny.generate(pipe, **arguments) for _ in range(2))
    assert torch.equal(first, second)
    # Guided up to a timestep of 0.5, which are 4 steps of 7; then 3 with half as many rows.
    assert [call.computed for call in cache.stats.calls] == [((True, False, False, True, True, False, True),) * 2] * 2


Recorded = list[tuple[tuple[Any, ...], dict[str, Any]]]


def record(tiny: Tiny, seed: int) -> Recorded:
    """The arguments of every call to the denoiser in the pipeline's first run."""
    pipe = tiny.make()
    calls: Recorded = []

    def keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(copy.deepcopy((args, kwargs)))

    denoisers_of(pipe)[0].register_forward_pre_hook(keep, with_kwargs=True)
    tiny.generate(pipe, seeds=(seed,), steps=STEPS)
    return calls[:STEPS]


@torch.no_grad()
def replay(transformer: Any, runs: list[Recorded], contexts: list[str] | None = None) -> list[list[Tensor]]:
    """A loop by hand over the steps: at each one the runs take turns. Returns the outputs of each."""
    outputs: list[list[Tensor]] = [[] for _ in runs]
    for calls in zip(*runs, strict=True):
        for index, (args, kwargs) in enumerate(calls):
            kwargs = {name: list(value) if isinstance(value, list) else value for name, value in kwargs.items()}
            with transformer.cache_context(contexts[index]) if contexts else nullcontext():
                output = transformer(*args, **{**kwargs, "return_dict": False})[0]
                outputs[index].append(torch.stack(output) if isinstance(output, list) else output)
    return outputs


@pytest.mark.some_classes
@pytest.mark.parametrize("name", SWEPT)
def test_three_branches_do_not_mix(name: str) -> None:
    """Each comes out the same whatever the others are; with contexts, the same as alone."""
    tiny = SWEPT[name]
    transformer = denoisers_of(tiny.make())[0]
    runs = [record(tiny, seed) for seed in (1, 2, 3)]

    def cached(runs: list[Recorded], contexts: list[str] | None = None) -> list[list[Tensor]]:
        with teacache.enabled(transformer, EXTREME) as cache:
            outputs = replay(transformer, runs, contexts)
        assert [call.branch for call in cache.stats.calls] == (contexts or ["0", "1", "2"])[: len(runs)]
        assert all(call.skipped > 0 for call in cache.stats.calls)
        return outputs

    together, other = cached(runs), cached([runs[0], runs[0], runs[2]])
    assert same(together[0], other[0])
    assert same(together[2], other[2])
    assert not same(together[1], other[1])
    if hasattr(transformer, "cache_context"):
        named = cached(runs, ["cond", "uncond", "third"])
        assert all(same(named[index], cached([runs[index]])[0]) for index in (0, 2))
