"""Where the scheduler is supplied: at skipped steps no denoiser runs, in every pipeline class, and nothing is stale."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import teacache
from teacache.branches import UNCACHED, Batch, Branch
from teacache.cache import denoisers_of, with_method
from teacache.hooks import session_of
from teacache.kinds import kind_of
from teacache.recording import SchedulerOutputs
from teacache.registry import MODELS, model_for
from teacache.runs import Run
from teacache.trajectories import Place
from tests.teacache import variants
from tests.teacache.plain import Watch
from tests.teacache.test_hooks import Abort, abort_at, hooks_on
from tests.teacache.test_models import decisions
from tests.teacache.test_scheduling import recording
from tests.teacache.tiny import TINY, Tiny
from tests.teacache.variants import SWEPT, VARIANTS

STEPS = 5
COMPUTED = (0, 1, 3)


class LastOutput:
    """Passes on three quarters of the last computed output in the place of the skipped ones."""

    computed: tuple[int, ...] = COMPUTED

    def __init__(self, total: int | None = None) -> None:
        self.known: Tensor | None = None
        self.answers: list[int] = []

    def skips(self, step: int) -> bool:
        return self.known is not None and step not in self.computed

    def unguided(self, step: int) -> bool:
        return False

    def pass_on(self, step: int, output: Tensor, answers: Sequence[Any], sample: Tensor, *, computed: bool) -> Tensor:
        self.answers.append(len(answers))
        if computed:
            self.known = output.clone()
            return output
        assert self.known is not None
        return 0.75 * self.known


def supplied(pipe: Any, supply: Any = LastOutput) -> AbstractContextManager[None]:
    return with_method(pipe, lambda name, progress: replace(UNCACHED, supply=supply))


@contextmanager
def plainly_supplied(pipe: Any, computed: tuple[int, ...] = COMPUTED) -> Iterator[None]:
    """The same with every step computed: what it gives at skipped ones is thrown away before the scheduler."""
    step, scheduler, supply, count = pipe.scheduler.step, pipe.scheduler, LastOutput(), iter(range(1000))

    @functools.wraps(step)
    def supplied_step(model_output: Tensor, *args: Any, **kwargs: Any) -> Any:
        number = next(count) % STEPS
        output = supply.pass_on(number, model_output, (), model_output, computed=number in computed)
        return step(output, *args, **kwargs)

    scheduler.step = supplied_step
    yield
    del scheduler.step


@contextmanager
def counted(pipe: Any) -> Iterator[list[int]]:
    """A number for each time that the forward of one of the denoisers ran for a step. It is put below a cache that is
    turned on inside."""
    calls: list[int] = []

    def counting(forward: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
        @functools.wraps(forward)
        def count(*args: Any, **kwargs: Any) -> Any:
            if not watch.apart:
                calls.append(1)
            return forward(*args, **kwargs)

        return count

    watches = [(denoiser, Watch(denoiser, model_for(denoiser))) for denoiser in denoisers_of(pipe)]
    for denoiser, watch in watches:
        denoiser.forward = counting(denoiser.forward, watch)
    yield calls
    for denoiser, watch in watches:
        watch.handle.remove()
        del denoiser.forward


SEVERAL_CALLS = {"CosmosTextToWorldPipeline"}
"""Call `step` for each branch, and then again for the guided output."""
SEVERAL_SCHEDULERS = {name for model in MODELS.values() if model.otherwise_scheduled for name in model.pipelines}
"""Have one for the sound as well."""
SUPPLIED = sorted(set(TINY) - SEVERAL_CALLS - SEVERAL_SCHEDULERS)
TWO_DENOISERS = {"Wan22Image2VideoModularPipeline", "Wan22ModularPipeline", "Wan22VaceModularPipeline"}
"""Share the steps of a run; tested in test_ranks.py."""
REFUSED = {name for name in VARIANTS if name.startswith("SkyReelsV2DiffusionForcing")}
"""Have a scheduler for every frame; tested below."""
AS_THEIR_SIBLINGS = sorted(
    {name for name, variant in VARIANTS.items() if variant.sibling in SUPPLIED} - TWO_DENOISERS - REFUSED
)


@pytest.fixture(params=SUPPLIED + AS_THEIR_SIBLINGS)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return SWEPT[request.param]


MOMENTUM = {"AceStepPipeline"}
"""Their guidance has one, which the answers of skipped steps move as well: run without guidance."""


def guided(tiny: Tiny, pipe: Any, **arguments: Any) -> Tensor:
    guides = tiny.guidance != "none" and type(pipe).__name__ not in MOMENTUM
    return tiny.generate(pipe, **{"steps": STEPS, "guided": guides, **arguments})


@pytest.mark.some_classes
def test_skipped_steps_run_no_denoiser_and_the_scheduler_gets_what_is_supplied(tiny: Tiny) -> None:
    pipe = tiny.make()
    uncached = guided(tiny, pipe)
    with plainly_supplied(pipe):
        expected = guided(tiny, pipe)
    with counted(pipe) as plainly:
        guided(tiny, pipe)
    with counted(pipe) as calls, supplied(pipe):
        sessions = [session_of(denoiser) for denoiser in denoisers_of(pipe)]
        found = guided(tiny, pipe)
    assert torch.equal(found, expected)
    assert not torch.equal(found, uncached)
    assert len(calls) * STEPS == len(plainly) * len(COMPUTED) > 0
    computed = {row for session in sessions if session for call in session.statistics().calls for row in call.computed}
    assert computed == {tuple(step in COMPUTED for step in range(STEPS))}
    assert not any(hooks_on(denoiser) for denoiser in denoisers_of(pipe))
    assert "step" not in vars(pipe.scheduler)
    assert not any("forward" in vars(denoiser) for denoiser in denoisers_of(pipe))
    assert torch.equal(guided(tiny, pipe), uncached)


@pytest.mark.parametrize("name", ["FluxPipeline", "Lumina2Pipeline", "CogVideoXPipeline"])
class TestInSomePipelines:
    def test_an_aborted_run_leaves_nothing(self, name: str) -> None:
        tiny = TINY[name]
        pipe = tiny.make()
        with supplied(pipe):
            expected = guided(tiny, pipe)
            for step in (1, 2, 3):
                with pytest.raises(Abort):
                    guided(tiny, pipe, callback_on_step_end=abort_at(step))
                assert torch.equal(guided(tiny, pipe), expected)

    def test_another_shape_starts_afresh(self, name: str) -> None:
        tiny = TINY[name]
        pipe = tiny.make()
        with supplied(pipe):
            expected = guided(tiny, pipe, **tiny.other_shape)
            guided(tiny, pipe)
            assert torch.equal(guided(tiny, pipe, **tiny.other_shape), expected)
            guided(tiny, pipe, seeds=(1, 2))
            assert torch.equal(guided(tiny, pipe, **tiny.other_shape), expected)

    def test_a_scheduler_that_comes_in_its_place_is_followed(self, name: str) -> None:
        tiny = TINY[name]
        pipe = tiny.make()
        before = pipe.scheduler
        with supplied(pipe):
            expected = guided(tiny, pipe)
            pipe.scheduler = type(before).from_config(before.config)
            assert torch.equal(guided(tiny, pipe), expected)
            assert "step" not in vars(before)
        assert "step" not in vars(pipe.scheduler)

    def test_a_copy_of_the_pipeline_is_not_supplied(self, name: str) -> None:
        tiny = TINY[name]
        pipe = tiny.make()
        uncached = guided(tiny, pipe)
        with supplied(pipe):
            expected = guided(tiny, pipe)
            twin = copy.deepcopy(pipe)
            assert torch.equal(guided(tiny, twin), uncached)
            assert torch.equal(guided(tiny, pipe), expected)

    def test_a_shallow_copy_of_the_scheduler_has_its_own_step(self, name: str) -> None:
        tiny = TINY[name]
        pipe, other = tiny.make(), tiny.make()
        uncached = guided(tiny, other)
        with supplied(pipe):
            expected = guided(tiny, pipe)
            other.scheduler = copy.copy(pipe.scheduler)
            assert vars(other.scheduler).keys() == vars(pipe.scheduler).keys() - {"step", "__getstate__"}
            assert torch.equal(guided(tiny, other), uncached)
            assert torch.equal(guided(tiny, pipe), expected)

    def test_two_pipelines_with_one_scheduler_in_and_out_crosswise(self, name: str) -> None:
        tiny = TINY[name]
        pipe, other = tiny.make(), tiny.make()
        other.scheduler = pipe.scheduler
        uncached, names = guided(tiny, pipe), set(vars(pipe.scheduler))
        first, second = supplied(pipe), supplied(other)
        with first:
            expected = guided(tiny, pipe)
            second.__enter__()
        assert torch.equal(guided(tiny, other), expected)
        assert torch.equal(guided(tiny, pipe), uncached)
        second.__exit__(None, None, None)
        assert set(vars(pipe.scheduler)) == names
        assert torch.equal(guided(tiny, other), uncached)

    def test_paused_everything_is_computed(self, name: str) -> None:
        tiny = TINY[name]
        pipe = tiny.make()
        uncached = guided(tiny, pipe)
        with supplied(pipe):
            session = session_of(pipe.transformer)
            assert session is not None
            with session.paused():
                assert torch.equal(guided(tiny, pipe), uncached)
            assert not torch.equal(guided(tiny, pipe), uncached)


class Unguided(LastOutput):
    """Its first step as well."""

    def unguided(self, step: int) -> bool:
        return step == 0


@pytest.mark.parametrize("name", ["Lumina2Pipeline", "WanPipeline"])
def test_a_run_of_another_pipeline_with_the_same_denoiser_is_computed(name: str) -> None:
    """Its own scheduler gets nothing in the place of what its first step would have left out."""
    tiny = TINY[name]
    pipe, other = tiny.make(), tiny.make()
    other.transformer = pipe.transformer
    uncached = guided(tiny, other)
    with supplied(pipe, Unguided):
        expected = guided(tiny, pipe)
        assert torch.equal(guided(tiny, other), uncached)
        assert torch.equal(guided(tiny, pipe), expected)


class Interrupt(BaseException):
    """As Ctrl-C: no `Exception`."""


def test_an_interrupted_run_leaves_another_pipeline_with_its_scheduler_alone() -> None:
    tiny = TINY["FluxPipeline"]
    pipe, other = tiny.make(), tiny.make()
    other.scheduler = pipe.scheduler
    uncached = guided(tiny, other)

    def interrupt(*unused: Any) -> None:
        if pipe.scheduler.step_index == 2:  # a skipped one
            raise Interrupt

    denoiser = pipe.transformer
    with supplied(pipe):
        for register in (denoiser.register_forward_pre_hook, denoiser.register_forward_hook):
            handle = register(interrupt)  # before the denoiser's forward is over, and between it and the scheduler
            with pytest.raises(Interrupt):
                guided(tiny, pipe)
            handle.remove()
            assert torch.equal(guided(tiny, other), uncached)


def test_with_gradients_no_answer_comes_from_memory() -> None:
    tiny = TINY["FluxPipeline"]
    pipe, seen = tiny.make(), []
    forward = pipe.transformer.forward

    @functools.wraps(forward)
    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(pipe.scheduler.step_index)
        return forward(*args, **kwargs)

    def require(pipe: Any, step: int, timestep: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        torch.set_grad_enabled(step >= 1)
        return {"latents": inputs["latents"].detach().requires_grad_(step >= 1)}

    pipe.transformer.forward = watched
    with supplied(pipe), pytest.warns(UserWarning, match="gradients are being recorded"):
        tiny.generate(pipe, steps=STEPS, callback_on_step_end=require)
    torch.set_grad_enabled(True)
    assert 2 in seen  # a step that would be skipped


def test_the_answers_of_all_branches_of_a_computed_step_are_handed_over() -> None:
    tiny = TINY["Lumina2Pipeline"]
    pipe, supplies = tiny.make(), []

    def supply(total: int | None) -> LastOutput:
        supplies.append(LastOutput())
        return supplies[-1]

    with supplied(pipe, supply):
        guided(tiny, pipe)
    assert [[one.answers[step] for step in COMPUTED] for one in supplies] == [[2, 2, 2]]


class UnguidedStart(LastOutput):
    computed = (0, 2, 3)

    def unguided(self, step: int) -> bool:
        return step == 0


@contextmanager
def plainly_unguided(pipe: Any, branches: int) -> Iterator[None]:
    """At the first step every branch runs, and the first one's answer is put in the place of all."""
    answers: list[Any] = []
    watch = Watch(pipe.transformer, model_for(pipe.transformer))

    def change(module: torch.nn.Module, args: Any, output: Any) -> Any:
        if watch.apart:
            return output
        answers.append(output)
        return answers[0] if len(answers) <= branches else output

    handle = pipe.transformer.register_forward_hook(change)
    with plainly_supplied(pipe, UnguidedStart.computed):
        yield
    handle.remove()
    watch.handle.remove()


ONE_DENOISER = {name for name in SUPPLIED if TINY[name].guidance == "calls" and not TINY[name].always_guided}
MEMORY = {name for model in MODELS.values() if model.memory for name in model.pipelines}
"""Their branches have to be there at the first step, and no schedule is measured in which they are not."""


@pytest.mark.parametrize("name", sorted(ONE_DENOISER - MEMORY))
def test_at_an_unguided_step_the_first_branch_runs_alone_and_answers_for_all(name: str) -> None:
    tiny = TINY[name]
    pipe = tiny.make()
    with counted(pipe) as calls, supplied(pipe, UnguidedStart):
        session = session_of(pipe.transformer)
        found = guided(tiny, pipe)
    assert session is not None
    rows = [call.computed[0] for call in session.statistics().calls]
    whole = tuple(step in UnguidedStart.computed for step in range(STEPS))
    assert rows == [whole, *[(False, *whole[1:])] * (len(rows) - 1)]
    with plainly_unguided(pipe, len(rows)), counted(pipe) as plainly:
        assert torch.equal(guided(tiny, pipe), found)
    assert len(calls) * STEPS * len(rows) == len(plainly) * sum(map(sum, rows))
    assert len(rows) > 1


def test_a_branch_that_comes_late_is_computed_and_its_step_is_not_taken_for_a_whole_one() -> None:
    """Guidance that begins at a skipped step: one branch has no answer yet, the other's is stale."""
    supply, inputs, one = LastOutput(), (kind_of(torch.ones(1)),), torch.ones(1)
    method = replace(UNCACHED, supply=LastOutput)
    batch = Batch(rows=1, device=torch.device("cpu"), ranks=None)
    early, late = (Branch(name, method, STEPS, batch) for name in ("0", "1"))
    early.remember(inputs, one)
    supply.pass_on(0, 4 * one, (), one, computed=True)
    run = Run(method, supply, called=["0", "1"], place=Place(starts=False, moves=True, step=2, total=STEPS))
    assert run.answer(early, inputs) is one
    assert run.answer(late, inputs) is None
    assert run.answer(early, (kind_of(torch.ones(2)),)) is None  # another shape in mid-run
    assert run.to_scheduler(9 * one, one) == 3
    assert run.to_scheduler(9 * one, one) == 9  # only once at a step: the rest is not of this run


def test_of_a_pipeline_that_calls_its_scheduler_twice_at_a_step_no_outputs_are_told() -> None:
    """So no schedule is measured for it."""
    (name,) = SEVERAL_CALLS
    pipe, some = TINY[name].make(), recording(np.ones((STEPS, 2)))
    heard = SchedulerOutputs(pipe.scheduler)
    with heard.heard():
        guided(TINY[name], pipe)
    assert heard.of(some) is some


@pytest.mark.parametrize("name", sorted(SEVERAL_SCHEDULERS))
def test_a_model_whose_sound_goes_by_another_scheduler_is_not_supplied(name: str) -> None:
    pipe = TINY[name].make()
    uncached = guided(TINY[name], pipe)
    with pytest.raises(
        ValueError, match=r"one scheduler, .* has streams \((aud|sound).*\) that go by another one; order=1"
    ):
        with supplied(pipe):
            pass
    assert "step" not in vars(pipe.scheduler)
    assert not any(hooks_on(denoiser) for denoiser in denoisers_of(pipe))
    assert torch.equal(guided(TINY[name], pipe), uncached)


@pytest.mark.parametrize("supply", [LastOutput, UnguidedStart])
def test_a_scheduler_that_is_left_out_is_not_supplied(supply: Any) -> None:
    """Where every frame has a copy of it: nothing would be skipped, and of unguided steps nothing made up for."""
    name = "SkyReelsV2DiffusionForcingPipeline"
    pipe = variants.make(name)
    uncached = variants.generate(name, pipe)
    with supplied(pipe, supply):
        for _ in range(2):
            with pytest.raises(ValueError, match=r"scheduler, which made no step here: .*; order=1 takes"):
                variants.generate(name, pipe)
    assert torch.equal(variants.generate(name, pipe), uncached)


@pytest.mark.some_classes
def test_statistics_count_skipped_calls(tiny: Tiny) -> None:
    pipe = tiny.make()
    with teacache.enabled(pipe, teacache.ScheduleConfig(steps=COMPUTED, order=0)) as cache:
        guided(tiny, pipe)
    with supplied(pipe):
        sessions = {session_of(denoiser) for denoiser in denoisers_of(pipe)}
        guided(tiny, pipe)
        stats = sum((session.statistics() for session in sessions if session), teacache.Stats())
    assert decisions(stats) == decisions(cache.stats)
    assert (stats.steps, stats.computed) == (cache.stats.steps, cache.stats.computed)
