"""What indicator and first block both ask is evaluated once, and neither can tell."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor, nn

import teacache
from teacache.cache import denoisers_of
from teacache.registry import MODELS, model_for
from tests.teacache.test_hooks import NEVER, SKIPPING
from tests.teacache.tiny import TINY, flux

SHARING = [
    name for model in MODELS.values() if model.indicators[model.indicator].shares for name in model.pipelines[:1]
]


def evaluations(name: str, config: teacache.configs.CacheConfig) -> int:
    """How often the shared submodule of the first block is evaluated in a run."""
    tiny, count = TINY[name], 0
    pipe = tiny.make()
    (denoiser,) = denoisers_of(pipe)
    model = model_for(denoiser)

    def counting(*args: Any) -> None:
        nonlocal count
        count += 1

    block = getattr(denoiser, model.stack[0].name)[0]
    part = next(block.get_submodule(model.indicators[model.indicator].shares).children())
    part.register_forward_hook(counting)
    with teacache.enabled(pipe, config):
        tiny.generate(pipe)
    return count


@pytest.mark.parametrize("name", SHARING)
def test_once_per_step_whether_or_not_the_block_runs(name: str) -> None:
    once = evaluations(name, teacache.Uncached())
    extreme = replace(NEVER, rel_l1_thresh=1e9)
    assert once >= 12
    assert [evaluations(name, config) for config in (NEVER, extreme)] == [once, once]


def outcome(*, shares: str, seeds: tuple[int, ...] = (0,)) -> Any:
    """Latents, decisions and distances of a FLUX whose attention writes into what the norm gave to it."""
    pipe = flux.make_pipeline()

    def scribble(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kwargs["hidden_states"].mul_(2.0)

    pipe.transformer.transformer_blocks[0].attn.register_forward_pre_hook(scribble, with_kwargs=True)
    model = model_for(pipe.transformer)
    indicators = {name: replace(indicator, shares=shares) for name, indicator in model.indicators.items()}
    with teacache.enabled(pipe, SKIPPING, model=replace(model, indicators=indicators)) as cache:
        latents = flux.generate(pipe, seeds=seeds)
    return latents.tolist(), [(call.computed, call.distances) for call in cache.stats.calls]


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_a_block_that_writes_into_the_answer_does_not_disturb_the_decisions(seeds: tuple[int, ...]) -> None:
    assert outcome(shares="norm1", seeds=seeds) == outcome(shares="", seeds=seeds)


def test_something_else_in_the_place_of_the_forward_is_let_alone() -> None:
    """accelerate and group offloading put the weights in place there."""
    pipe = flux.make_pipeline()
    norm, calls = pipe.transformer.transformer_blocks[0].norm1, []
    own = norm.forward

    def other(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return own(*args, **kwargs)

    norm.forward = other
    with teacache.enabled(pipe, NEVER):
        flux.generate(pipe)
    assert len(calls) == 23  # 12 steps, indicator and block; nobody looks at the last indicator
    assert norm.forward is other


def test_an_error_of_the_block_leaves_nothing_in_its_place() -> None:
    pipe = flux.make_pipeline()
    block = pipe.transformer.transformer_blocks[0]

    def fail(*args: Any) -> None:
        raise KeyError("attention")

    block.attn.register_forward_pre_hook(fail)
    with teacache.enabled(pipe, NEVER):
        with pytest.raises(KeyError):
            flux.generate(pipe)
        assert "forward" not in vars(block.norm1)


def test_an_error_of_the_block_lets_go_of_the_answer() -> None:
    """One that comes before the block has asked for it."""
    pipe = flux.make_pipeline()
    norm = pipe.transformer.transformer_blocks[0].norm1
    answers: list[weakref.ref[Tensor]] = []

    def fail_the_second_time(*args: Any) -> None:
        if answers:
            raise KeyError("norm")

    norm.register_forward_pre_hook(fail_the_second_time)
    norm.register_forward_hook(lambda module, args, output: answers.append(weakref.ref(output[0])))
    with teacache.enabled(pipe, NEVER):
        with pytest.raises(KeyError):
            flux.generate(pipe)
        gc.collect()
        assert [answer() for answer in answers] == [None]


def test_a_record_that_shares_names_a_submodule() -> None:
    model = model_for(flux.make_transformer())
    indicators = {name: replace(indicator, shares="norm9") for name, indicator in model.indicators.items()}
    with pytest.raises(AttributeError, match="norm9"):
        teacache.enable(flux.make_transformer(), SKIPPING, model=replace(model, indicators=indicators))
