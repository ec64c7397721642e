"""Each sample of a batch is cached as if it was alone, in real pipelines: in its decisions exactly, in its values to
rounding. In float64, so that rounding stays far below what a wrong decision or a stale residual would do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import teacache
from teacache.branches import Method
from teacache.cache import with_method
from teacache.policies import Computed, Decision, Moment
from teacache.predictors import Extrapolation
from tests.teacache.tiny import TINY, Tiny, flux
from tests.teacache.tiny.base import generators
from tests.teacache.variants import SWEPT

STEPS = 12
BATCHED = [name for name, tiny in SWEPT.items() if tiny.batched and tiny.independent]
MAIN = ("CogVideoXPipeline", "FluxPipeline", "Lumina2Pipeline", "MochiPipeline")
METHODS: dict[str, Callable[[Tiny], teacache.TeaCacheConfig | teacache.AdaptiveConfig]] = {
    "TeaCache": lambda tiny: teacache.TeaCacheConfig(rel_l1_thresh=tiny.threshold, coefficients=(1.0, 0.0)),
    "TeaCache, order 1": lambda tiny: teacache.TeaCacheConfig(
        rel_l1_thresh=tiny.threshold, coefficients=(1.0, 0.0), order=1
    ),
    "Adaptive": lambda tiny: teacache.AdaptiveConfig(tolerance=tiny.tolerance),
}

Sample = tuple[Tensor, list[tuple[bool, ...]]]


def cached(tiny: Tiny, pipe: Any, method: str, seeds: Sequence[int], **arguments: Any) -> list[Sample]:
    """Of every sample its latents, and its decisions call by call."""
    with teacache.enabled(pipe, METHODS[method](tiny)) as cache:
        latents = tiny.generate(pipe, seeds=seeds, steps=STEPS, guided=tiny.guidance == "batch", **arguments)
    stats = [cache.stats.sample(index).calls for index in range(len(seeds))]
    assert all(call.batch_size == len(seeds) for call in cache.stats.calls)
    return [(own, [call.computed[0] for call in calls]) for own, calls in zip(latents, stats, strict=True)]


def check(tiny: Tiny, method: str, seeds: Sequence[int], orders: Sequence[Sequence[int]], **arguments: Any) -> int:
    """Returns how many different decisions there are among the samples."""
    dtype, rounding = (torch.float64, 1e-8) if torch.float64 in tiny.dtypes else (torch.float32, 1e-4)
    pipe = tiny.make().to(dtype)
    alone = {seed: cached(tiny, pipe, method, (seed,), **arguments)[0] for seed in seeds}
    assert any(not all(computed) for _, decisions in alone.values() for computed in decisions)
    for order in orders:
        for seed, (latents, decisions) in zip(order, cached(tiny, pipe, method, order, **arguments), strict=True):
            assert decisions == alone[seed][1], (order, seed)
            torch.testing.assert_close(latents, alone[seed][0], rtol=rounding, atol=rounding)
    return len({repr(decisions) for _, decisions in alone.values()})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MAIN)
def test_every_sample_of_eight_is_as_if_alone(name: str, method: str) -> None:
    decide_alike = name == "CogVideoXPipeline" and method != "Adaptive"  # the indicator knows only the timestep
    different = check(SWEPT[name], method, range(8), [range(8), (6, 3, 0, 7, 1, 5, 2, 4)])
    assert (different == 1) is decide_alike


@pytest.mark.parametrize("method", METHODS)
def test_captions_of_different_lengths_do_not_change_each_other(method: str) -> None:
    tiny = TINY["Lumina2Pipeline"]
    assert check(tiny, method, range(8), [range(8), (6, 3, 0, 7, 1, 5, 2, 4)], padded=True) > 1


@pytest.mark.some_classes
@pytest.mark.parametrize("method", ["TeaCache", "Adaptive"])
@pytest.mark.parametrize("name", [name for name in BATCHED if name not in MAIN])
def test_each_of_two_samples_is_as_if_alone(name: str, method: str) -> None:
    check(SWEPT[name], method, (1, 2), [(2, 1)])


class Listed:
    """A policy by which each sample of a batch is computed at steps of its own."""

    skips = True

    def __init__(self, lists: Sequence[Collection[int]]) -> None:
        self._lists = lists

    def decide(self, moment: Moment) -> Decision:
        size = moment.ties.size
        if not moment.can_skip:
            return Decision.uniform(True, size)
        samples = moment.ties.samples
        compute = tuple(moment.step in self._lists[row % samples] for row in range(size))
        return Decision(compute, (None,) * size)

    def observe(self, computed: Computed) -> None: ...


def listed(lists: Sequence[Collection[int]], order: int = 0) -> Method:
    return Method(policy=lambda _: Listed(lists), predictor=lambda: Extrapolation(order), granularity="sample")


LISTS = {0, 2, 3, 6}, {0, 1, 4, 6}


@pytest.mark.some_classes
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", BATCHED)
def test_samples_that_are_computed_at_different_steps_do_not_meet(name: str, order: int) -> None:
    tiny = SWEPT[name]
    dtype, rounding = (torch.float64, 1e-8) if torch.float64 in tiny.dtypes else (torch.float32, 1e-4)
    pipe = tiny.make().to(dtype)

    def generate(seeds: Sequence[int], lists: Sequence[Collection[int]]) -> Tensor:
        with with_method(pipe, lambda *_: listed(lists, order)):
            return tiny.generate(pipe, seeds=seeds, steps=7, guided=tiny.guidance == "batch")

    together = generate((1, 2), LISTS)
    for own, seed, steps in zip(together, (1, 2), LISTS, strict=True):
        torch.testing.assert_close(own, generate((seed,), [steps])[0], rtol=rounding, atol=rounding)
    uncached = tiny.generate(pipe, seeds=(1, 2), steps=7, guided=tiny.guidance == "batch")
    assert not any(torch.equal(own, other) for own, other in zip(together, uncached, strict=True))


def test_embeddings_of_one_prompt_go_for_several_samples() -> None:
    """The model repeats them: in the first block the text gets a row for each sample."""
    pipe = flux.make_pipeline().to(torch.float64)
    tokens, pooled = flux.embeddings((0,), torch.float64)

    def generate(prompts: int) -> Tensor:
        with with_method(pipe, lambda *_: listed(LISTS)):
            latents: Tensor = pipe(
                prompt_embeds=tokens.expand(prompts, -1, -1), pooled_prompt_embeds=pooled.expand(prompts, -1),
                num_images_per_prompt=2 // prompts, num_inference_steps=7, generator=generators((1, 2)), height=64,
                width=64, output_type="latent",
            ).images  # fmt: skip
        return latents

    torch.testing.assert_close(generate(1), generate(2), rtol=1e-8, atol=1e-8)
