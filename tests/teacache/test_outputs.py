from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline

import teacache
from teacache.outputs import Terms, WeightedOutputs, parts_of, weighted_sum
from teacache.scheduling import Schedule
from tests.teacache.tiny.flux import embeddings

STEPS = 8


def run(pipe: FluxPipeline, seeds: tuple[int, ...] = (1, 2), **call: Any) -> torch.Tensor:
    tokens, pooled = embeddings(list(seeds))
    latents: torch.Tensor = pipe(
        prompt_embeds=tokens, pooled_prompt_embeds=pooled, num_inference_steps=STEPS, height=64, width=64,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds], output_type="latent", return_dict=False,
        **call,
    )[0]  # fmt: skip
    return latents


def start_of(pipe: FluxPipeline) -> torch.Tensor:
    """The noise that `run` starts from."""
    seen: list[torch.Tensor] = []

    def watch(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        seen.append(kwargs["hidden_states"])

    handle = pipe.transformer.register_forward_pre_hook(watch, with_kwargs=True)
    run(pipe)
    handle.remove()
    return seen[0]


@pytest.fixture
def calibrated(pipe: FluxPipeline, tmp_path: Path) -> tuple[FluxPipeline, teacache.Calibration, str]:
    """Measured on what `run` generates."""

    def encode(prompt: str | list[str], **unused: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        tokens, pooled = embeddings([len(prompt) for prompt in prompts])
        return tokens, pooled, torch.zeros(tokens.shape[1], 3)

    original, pipe.encode_prompt = pipe.encode_prompt, encode
    found = teacache.calibrate(pipe, ["a", "bb"], degree=1, num_inference_steps=STEPS, height=64, width=64, seed=1,
                               held_out=0, measured=[2, 4, STEPS])  # fmt: skip
    pipe.encode_prompt = original
    return pipe, found, str(found.save(tmp_path))


@contextmanager
def plainly_weighted(transformer: torch.nn.Module, schedule: Schedule) -> Iterator[None]:
    """Every step is computed; what it answers is replaced by the weighted sum of the start and the answers at computed
    steps. (Without guidance the scheduler gets the answers.)"""
    answers: list[torch.Tensor] = []
    start: list[torch.Tensor] = []

    def change(
        module: torch.nn.Module, args: Any, kwargs: dict[str, Any], output: tuple[torch.Tensor]
    ) -> tuple[torch.Tensor]:
        if not answers:
            start.append(kwargs["hidden_states"])
        answers.append(output[0])
        first, *row = schedule.weights[len(answers) - 1]
        weighted = [weight * answers[node] for node, weight in zip(schedule.steps, row, strict=False)]
        return (sum(weighted, first * start[0]),)

    handle = transformer.register_forward_hook(change, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("computed", [2, 4])
def test_a_measured_schedule_answers_with_the_weighted_sums_and_errs_as_measured(
    calibrated: tuple[FluxPipeline, teacache.Calibration, str], computed: int
) -> None:
    pipe, calibration, file = calibrated
    assert teacache.Calibration.load(file) == calibration
    schedule, uncached = calibration.schedule(computed), run(pipe)
    with plainly_weighted(pipe.transformer, schedule):
        expected = run(pipe)
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=computed, calibration=file)) as cache:
        once, again = run(pipe), run(pipe)
    assert torch.allclose(once, expected, atol=1e-5)
    assert torch.equal(once, again)
    assert [index for index, one in enumerate(cache.stats.calls[0].computed[0]) if one] == list(schedule.steps)
    assert torch.equal(run(pipe), uncached)  # nothing is left on the model
    noise = start_of(pipe)
    assert float((once - uncached).norm() / (uncached - noise).norm()) == pytest.approx(schedule.error, rel=0.02)


def test_numbers_that_were_not_measured_and_orders_that_are_asked_for_are_lines(
    calibrated: tuple[FluxPipeline, teacache.Calibration, str],
) -> None:
    _, calibration, _ = calibrated
    assert calibration.schedule(4).weights
    assert not calibration.schedule(4, lines=True).weights
    assert not calibration.schedule(3).weights


def test_fractions_are_of_unguided_schedules_and_lines_have_as_many_steps(
    calibrated: tuple[FluxPipeline, teacache.Calibration, str],
) -> None:
    _, whole, _ = calibrated
    half = Schedule(steps=(0, 2, 5, 6), error=0.0, weights=((0.0, 1.0),), branches=2, unguided=(0,))
    calibration = replace(whole, measured={"transformer": (half, *whole.measured["transformer"])})
    assert calibration.schedule(3.5) is half
    assert calibration.schedule(3.5, lines=True) is whole.schedule(4, lines=True)
    assert calibration.schedule(4) is whole.schedule(4)
    with pytest.raises(teacache.CoefficientsError, match=r"no schedule with 2\.5 computed steps .*: 2 to 8, 3\.5"):
        calibration.schedule(2.5)


def test_on_a_transformer_alone_lines_stand_in(calibrated: tuple[FluxPipeline, teacache.Calibration, str]) -> None:
    pipe, _, file = calibrated
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=4, calibration=file, order=1)):
        lines = run(pipe)
    with teacache.enabled(pipe.transformer, teacache.ScheduleConfig(computed=4, calibration=file)):
        assert torch.equal(run(pipe), lines)


def test_terms_are_copies() -> None:
    """A pipeline may write into what the denoiser answered."""
    terms, output, sample = Terms(), torch.ones(1), torch.ones(1)
    terms.begin(sample)
    terms.add(0, output, [output])
    for tensor in (output, sample):
        tensor.add_(1)
    assert [term.item() for term in terms.tensors] == [1.0, 1.0]


def test_with_all_steps_computed_the_result_is_the_uncached_one(
    calibrated: tuple[FluxPipeline, teacache.Calibration, str],
) -> None:
    pipe, _, file = calibrated
    uncached = run(pipe)
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=STEPS, calibration=file)):
        assert torch.equal(run(pipe), uncached)


def supply(outputs: WeightedOutputs, step: int, value: float, *, computed: bool) -> float:
    """What is passed on of one number; the sample is 100."""
    output = torch.tensor([value])
    return outputs.pass_on(step, output, [(output,)], torch.tensor([100.0]), computed=computed).item()


def test_steps_other_than_those_of_the_weights_are_passed_on_and_skipped_ones_follow_the_line() -> None:
    weights = ((0.0, 1.0), (0.25, 0.5), (0.0, -1.0, 3.0), (0.0, 0.5, 1.0))
    schedule = Schedule(steps=(0, 2), error=0.0, weights=weights)
    outputs = WeightedOutputs(schedule)
    assert not outputs.skips(1)  # nothing was computed yet
    assert supply(outputs, 0, 1.0, computed=True) == 1.0
    assert [outputs.skips(step) for step in range(4)] == [False, True, False, True]
    assert supply(outputs, 1, 9.0, computed=False) == 25.5
    assert supply(outputs, 2, 2.0, computed=True) == 5.0
    assert supply(outputs, 3, 9.0, computed=False) == 2.5
    late = WeightedOutputs(schedule)  # the first step was left out
    assert supply(late, 1, 1.0, computed=True) == 1.0
    assert supply(late, 2, 2.0, computed=True) == 2.0
    assert supply(late, 4, 9.0, computed=False) == 4.0


def test_a_run_with_other_branches_than_the_calibration_had_warns_and_follows_the_line() -> None:
    weights = ((0.0, 1.0, 0.0, 0.0), (0.0,) * 7, (0.0,) * 7)
    outputs = WeightedOutputs(Schedule(steps=(0, 1), error=0.0, weights=weights, branches=2))
    with pytest.warns(UserWarning, match="measured with 2 guidance branches at a step") as warned:
        passed_on = [supply(outputs, step, float(step), computed=step < 2) for step in range(3)]
    assert passed_on == [0.0, 1.0, 2.0]
    assert len(warned) == 1


def test_the_answers_of_several_branches_are_terms_also_where_they_are_one_batch() -> None:
    guided, sample = torch.tensor([[3.0]]), torch.tensor([[100.0]])
    for answers, expected in (
        ([(guided - 2,), (guided - 1,)], [100.0, 3.0, 1.0, 2.0]),
        ([torch.cat([guided - 2, guided - 1])], [100.0, 3.0, 1.0, 2.0]),
        ([guided], [100.0, 3.0]),
    ):
        terms = Terms()
        terms.begin(sample)
        terms.add(0, guided, parts_of(guided, answers))
        assert [term.item() for term in terms.tensors] == expected
        terms.begin(torch.ones(1, 2))
        assert (terms.steps, len(terms.tensors)) == ([], 1)


def test_an_unguided_step_counts_a_branch_and_only_in_a_run_that_follows_the_schedule() -> None:
    weights = ((0.0, 2.0), (0.0, 3.0), (0.0, 1.0, 10.0, 100.0, 1000.0))
    schedule = Schedule(steps=(0, 2), error=0.0, weights=weights, branches=2, unguided=(0,))
    assert schedule.computed == 1.5
    assert Schedule.from_dict(json.loads(json.dumps(asdict(schedule)))) == schedule
    outputs, sample = WeightedOutputs(schedule), torch.tensor([100.0])
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    assert [outputs.unguided(step) for step in range(3)] == [True, False, False]
    assert outputs.pass_on(0, one, [(one,), (one,)], sample, computed=True) == 2.0
    assert outputs.pass_on(1, two, [(two,), (two,)], sample, computed=False) == 3.0
    assert outputs.pass_on(2, one, [(two,), (one,)], sample, computed=True) == 1211.0
    assert not outputs.unguided(0)  # a loop that goes back in time
    without_guidance = WeightedOutputs(schedule)
    with pytest.warns(UserWarning, match="measured with 2 guidance branches"):
        assert without_guidance.pass_on(0, one, [(one,)], sample, computed=True) == 1.0
    assert without_guidance.pass_on(1, two, [(two,)], sample, computed=False) == 1.0


def test_the_type_of_the_sample_may_change_on_the_way() -> None:
    """HunyuanVideo starts from float32; a flow-matching scheduler answers in the denoiser's bfloat16."""
    terms, output = Terms(), torch.ones(1, dtype=torch.bfloat16)
    for step, dtype in enumerate((torch.float32, torch.bfloat16)):
        terms.begin(torch.zeros(1, dtype=dtype))
        terms.add(step, output, [output])
    assert terms.steps == [0, 1]
    assert terms.tensors[0].dtype == torch.float32


def test_a_loop_that_computes_a_step_again_is_passed_on() -> None:
    outputs = WeightedOutputs(Schedule(steps=(0, 2), error=0.0, weights=((0.0, 1.0),) * 3))
    assert [supply(outputs, 0, value, computed=True) for value in (1.0, 2.0)] == [1.0, 2.0]
    assert supply(outputs, 1, 9.0, computed=False) == 2.0


def test_low_precision_is_summed_in_float32() -> None:
    outputs = [torch.tensor([value], dtype=torch.bfloat16) for value in (1.0, 1.0078125, 0.0)]
    found = weighted_sum((256.0, -256.0, 1.0), outputs, like=outputs[0])
    assert found.dtype == torch.bfloat16
    assert found == -2.0
    assert weighted_sum((0.0, 0.0, 1.0), outputs, like=outputs[0]) is outputs[2]
    assert weighted_sum((0.0, 0.0, 0.0), outputs, like=outputs[0]) == 0.0
