"""Every pipeline class that a record names: exact where nothing is skipped, as defined where something is, and nothing
stale whatever comes in between."""

from __future__ import annotations

import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import teacache
from teacache.cache import denoisers_of
from teacache.configs import CacheConfig
from teacache.registry import model_for
from tests.teacache import test_ranks
from tests.teacache.plain import plainly_cached, tokens_entering
from tests.teacache.test_hooks import Abort, abort_at, hooks_on
from tests.teacache.test_ranks import COMPUTED, calibrated
from tests.teacache.tiny import Tiny
from tests.teacache.variants import SWEPT

STEPS = 7
EXTREME = teacache.TeaCacheConfig(rel_l1_thresh=1e9, coefficients=(1.0, 0.0), max_consecutive_skips=2)
"""Computes steps 0, 3 and 6 of 7; 0 and 3 of 4."""
SHORT = 4
"""Steps, where two that are skipped show enough."""


@pytest.fixture(params=SWEPT)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return SWEPT[request.param]


@pytest.fixture
def pipe(tiny: Tiny) -> Any:
    return tiny.make()


def skipping(tiny: Tiny) -> teacache.TeaCacheConfig:
    """Skips some steps."""
    return teacache.TeaCacheConfig(rel_l1_thresh=tiny.threshold, coefficients=(1.0, 0.0))


def generate(tiny: Tiny, pipe: Any, **arguments: Any) -> Tensor:
    return tiny.generate(pipe, **{"steps": STEPS, **arguments})


def guided(tiny: Tiny, pipe: Any, **arguments: Any) -> Tensor:
    """With guidance where the class has any."""
    return generate(tiny, pipe, guided=tiny.guidance != "none", **arguments)


def planned(tiny: Tiny, *computed: int, steps: int = STEPS) -> tuple[int, ...]:
    """Of steps that a method computes, those where the first ones leave nothing for later ones to take."""
    moved = {tiny.late + step for step in computed if tiny.late + step < steps}
    return tuple(sorted(set(range(tiny.late)) | moved | ({steps - 1} if tiny.late else set())))


def decisions(stats: teacache.Stats) -> list[tuple[tuple[bool, ...], ...]]:
    return [call.computed for call in stats.calls]


def steps_computed(stats: teacache.Stats) -> set[tuple[int, ...]]:
    """The numbers of the computed steps, over all calls and samples."""
    return {tuple(step for step, computes in enumerate(sample) if computes)
            for call in stats.calls for sample in call.computed}  # fmt: skip


PADDED = {"HiDreamImagePipeline", "StableAudioPipeline"}
"""Give the stack as many tokens whatever the shape is."""
ALWAYS_GUIDED = {"HunyuanDiTPAGPipeline", "OmniGenPipeline"}
"""In one batch, whether or not they are asked to."""


@pytest.mark.some_classes
def test_what_the_tests_change_is_changed(tiny: Tiny, pipe: Any) -> None:
    """Another shape gives the stack other tokens, guidance and strength make other latents."""
    with tokens_entering(pipe) as usual:
        latents = generate(tiny, pipe, steps=SHORT)
    if tiny.other_shape and type(pipe).__name__ not in PADDED:
        with tokens_entering(pipe) as others:
            generate(tiny, pipe, steps=SHORT, **tiny.other_shape)
        assert len(others) == len(usual) > 0
        assert all(other != tokens for other, tokens in zip(others, usual, strict=True))
    if tiny.guidance != "none" and not tiny.always_guided and type(pipe).__name__ not in ALWAYS_GUIDED:
        assert not torch.equal(guided(tiny, pipe, steps=SHORT), latents)
    if tiny.strength is not None:
        assert not torch.equal(generate(tiny, pipe, steps=SHORT, **tiny.strength), latents)


def test_nothing_skipped_is_bit_identical(tiny: Tiny, pipe: Any) -> None:
    uncached = guided(tiny, pipe)
    with teacache.enabled(pipe, replace(skipping(tiny), rel_l1_thresh=0.0)) as cache:
        assert torch.equal(guided(tiny, pipe), uncached)
    assert cache.stats.skipped == 0
    assert cache.stats.steps == tiny.branches * tiny.runs * STEPS


@pytest.mark.parametrize(
    ("config", "computed"),
    [
        (EXTREME, (0, 3, 6)),
        (replace(EXTREME, order=1), (0, 3, 6)),
        (teacache.AdaptiveConfig(tolerance=1e9, max_consecutive_skips=1), (0, 1, 2, 4, 6)),
        (teacache.ScheduleConfig(steps=(0, 1, 4, 7, 8, 11), order=0), (0, 1, 4)),
    ],
    ids=["TeaCache", "TeaCache, order 1", "Adaptive", "Schedule"],
)
def test_a_skipped_step_is_stack_input_plus_residual(
    tiny: Tiny, pipe: Any, config: teacache.TeaCacheConfig, computed: tuple[int, ...]
) -> None:
    """Compared with a run in which all blocks compute and the stack's output is overwritten."""
    with teacache.enabled(pipe, config) as cache:
        latents = guided(tiny, pipe)
    if not isinstance(config, teacache.ScheduleConfig):
        computed = planned(tiny, *computed)
    assert steps_computed(cache.stats) == {computed}
    assert teacache.Stats.from_dict(json.loads(json.dumps(cache.stats.to_dict()))) == cache.stats
    with ExitStack() as stack:
        for denoiser in denoisers_of(pipe):
            model = model_for(denoiser)
            exit_at = (isinstance(config, teacache.TeaCacheConfig) and model.published_exit) or model.exit
            branches = 1 if tiny.always_guided else tiny.branches
            plain = plainly_cached(denoiser, model, computed, branches=branches, length=STEPS, late=tiny.late,
                                   order=config.order, exit_at=exit_at)  # fmt: skip
            stack.enter_context(plain)
        expected = guided(tiny, pipe)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.some_classes
def test_the_last_step_is_computed(tiny: Tiny, pipe: Any) -> None:
    """Where a scheduler tells which it is; of two denoisers that share the steps the second one makes it."""
    with teacache.enabled(pipe, replace(EXTREME, max_consecutive_skips=STEPS)) as cache:
        generate(tiny, pipe)
    computed = planned(tiny, 0, STEPS - 1) if tiny.scheduled else (0,)
    assert steps_computed(teacache.Stats(calls=cache.stats.calls[-1:])) == {computed}


def test_the_pipeline_is_as_it_was_afterwards(tiny: Tiny, pipe: Any) -> None:
    uncached = generate(tiny, tiny.make(), steps=SHORT)
    with teacache.enabled(pipe, EXTREME) as cache:
        with pytest.raises(teacache.AlreadyEnabledError):
            teacache.enable(pipe, EXTREME)
        assert not torch.equal(generate(tiny, pipe, steps=SHORT), uncached)
    assert steps_computed(cache.stats) == {planned(tiny, 0, 3, steps=SHORT)}
    with pytest.raises(ZeroDivisionError), teacache.enabled(pipe, EXTREME):
        1 / 0  # noqa: B018
    assert [hooks_on(denoiser) for denoiser in denoisers_of(pipe)] == [[]] * len(denoisers_of(pipe))
    assert torch.equal(generate(tiny, pipe, steps=SHORT), uncached)


def test_an_aborted_run_leaves_nothing_behind(tiny: Tiny, pipe: Any) -> None:
    with teacache.enabled(pipe, skipping(tiny)) as cache:
        fresh = guided(tiny, pipe)
        stats = cache.take_stats()
        assert stats.skipped > 0
        for step in (0, 4):
            with pytest.raises(Abort):
                guided(tiny, pipe, seeds=(7,), callback_on_step_end=abort_at(step))
            if step == 0 and not tiny.scheduled:
                cache.discard()
            assert torch.equal(guided(tiny, pipe), fresh)
        assert sorted(decisions(cache.stats)) == sorted(decisions(stats) * 2)


@pytest.mark.some_classes
def test_changes_between_runs_start_afresh(tiny: Tiny, pipe: Any) -> None:
    """Another number of steps, shape, batch or type: each run is as in a pipeline just made."""
    changes: list[dict[str, Any]] = [{}, {"steps": 6}, {"steps": 6, **tiny.other_shape}]
    if tiny.batched:
        changes.append({**changes[-1], "seeds": (1, 2, 3)})
    if tiny.strength is not None:
        changes.append(dict(tiny.strength))
    expected = []
    for change in changes[1:]:
        with teacache.enabled(pipe, EXTREME) as cache:
            expected.append((generate(tiny, pipe, **change), decisions(cache.stats)))
            assert cache.stats.skipped > 0, change
    with teacache.enabled(pipe, EXTREME) as cache:
        generate(tiny, pipe, **changes[0])
        assert cache.take_stats().skipped > 0
        for change, (latents, computed) in zip(changes[1:], expected, strict=True):
            assert torch.equal(generate(tiny, pipe, **change), latents), change
            assert decisions(cache.take_stats()) == computed


@pytest.mark.some_classes
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")  # norms that stay in float32
def test_a_pipeline_that_is_moved_starts_afresh(tiny: Tiny, pipe: Any) -> None:
    with teacache.enabled(pipe, EXTREME) as cache:
        generate(tiny, pipe, steps=SHORT)
        for dtype in tiny.dtypes:
            pipe.to(dtype)
            other = tiny.make().to(dtype)
            with teacache.enabled(other, EXTREME):
                expected = generate(tiny, other, steps=SHORT)
            assert torch.equal(generate(tiny, pipe, steps=SHORT), expected)
    assert steps_computed(cache.stats) == {planned(tiny, 0, 3, steps=SHORT)}


def check_two_threads(tiny: Tiny, config: CacheConfig, **arguments: Any) -> None:
    """Two pipelines that make a step each in turn, in threads of their own, make what each makes alone."""
    pipes, seeds = [tiny.make() for _ in range(2)], [(1,), (2,)]
    barrier = threading.Barrier(2)

    def meet(pipe: Any, step: int, timestep: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        barrier.wait(timeout=60)
        return inputs

    def run(index: int, **more: Any) -> tuple[Tensor, Any]:
        with teacache.enabled(pipes[index], config) as cache:
            latents = generate(tiny, pipes[index], seeds=seeds[index], **arguments, **more)
        assert cache.stats.skipped > 0
        return latents, decisions(cache.stats)

    alone = [run(index) for index in range(2)]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(partial(run, callback_on_step_end=meet), range(2)))
    for (latents, computed), (expected, expected_computed) in zip(together, alone, strict=True):
        assert torch.equal(latents, expected)
        assert computed == expected_computed


@pytest.mark.some_classes
def test_two_pipelines_in_two_threads_do_not_meet(tiny: Tiny) -> None:
    check_two_threads(tiny, EXTREME, steps=SHORT)


@pytest.mark.parametrize("name", ["CogVideoXPipeline", "FluxPipeline", "Lumina2Pipeline", "MochiPipeline"])
@pytest.mark.parametrize("method", ["adaptive", "listed", "measured"])
def test_in_two_threads_whatever_the_method(name: str, method: str, tmp_path: Path) -> None:
    tiny = SWEPT[name]
    measured = calibrated(tiny.make(), branches=2).save(tmp_path)
    configs: dict[str, CacheConfig] = {
        "adaptive": teacache.AdaptiveConfig(tolerance=tiny.tolerance),
        "listed": teacache.ScheduleConfig(steps=COMPUTED, order=1),
        "measured": teacache.ScheduleConfig(computed=len(COMPUTED), calibration=str(measured)),
    }
    check_two_threads(tiny, configs[method], steps=test_ranks.STEPS, guided=True)


@pytest.mark.some_classes
def test_a_deep_copy_has_no_cache(tiny: Tiny, pipe: Any) -> None:
    uncached = generate(tiny, pipe, steps=SHORT)
    with teacache.enabled(pipe, EXTREME) as cache:
        cached = generate(tiny, pipe, steps=SHORT)
        copied = copy.deepcopy(pipe)
        before = cache.stats
        assert torch.equal(generate(tiny, copied, steps=SHORT), uncached)
        assert cache.stats == before
        with teacache.enabled(copied, EXTREME):
            assert torch.equal(generate(tiny, copied, steps=SHORT), cached)
        assert torch.equal(generate(tiny, pipe, steps=SHORT), cached)
    assert cache.stats.steps == 2 * before.steps


@pytest.mark.some_classes
@pytest.mark.parametrize("own_scheduler", [False, True])
def test_pipelines_that_share_a_denoiser_do_not_meet(tiny: Tiny, pipe: Any, own_scheduler: bool) -> None:
    other = copy.copy(pipe)
    own_scheduler &= tiny.scheduled
    if own_scheduler:
        other.scheduler = copy.deepcopy(pipe.scheduler)
    with teacache.enabled(pipe, EXTREME) as cache:
        first = generate(tiny, pipe, steps=SHORT)
        second = generate(tiny, other, steps=SHORT)
        assert torch.equal(generate(tiny, pipe, steps=SHORT), first)
        assert torch.equal(generate(tiny, other, steps=SHORT), second)
    assert torch.isfinite(second).all()
    if not own_scheduler:
        assert torch.equal(second, first)
        assert steps_computed(cache.stats) == {planned(tiny, 0, 3, steps=SHORT)}
