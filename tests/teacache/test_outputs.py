from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from diffusers.models.modeling_outputs import Transformer2DModelOutput

import teacache
from teacache.outputs import WeightedOutputs, replaced, weighted_sum
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
    """Every step is computed; what it answers is replaced by the weighted sum of the answers at computed steps."""
    answers: list[torch.Tensor] = []

    def change(module: torch.nn.Module, args: Any, output: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        answers.append(output[0])
        row = schedule.weights[len(answers) - 1]
        weighted = (weight * answers[node] for node, weight in zip(schedule.steps, row, strict=False))
        return (sum(weighted, torch.zeros(())),)

    handle = transformer.register_forward_hook(change)
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


def test_with_all_steps_computed_the_result_is_the_uncached_one(
    calibrated: tuple[FluxPipeline, teacache.Calibration, str],
) -> None:
    pipe, _, file = calibrated
    uncached = run(pipe)
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=STEPS, calibration=file)):
        assert torch.equal(run(pipe), uncached)


def test_steps_other_than_those_of_the_weights_are_passed_on_and_skipped_ones_follow_the_line() -> None:
    schedule = Schedule(steps=(0, 2), error=0.0, weights=((1.0,), (0.5,), (-1.0, 3.0), (0.5, 1.0)))
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    outputs = WeightedOutputs(schedule)
    assert torch.equal(outputs.pass_on(0, one, computed=True), one)
    assert outputs.pass_on(1, torch.tensor([9.0]), computed=False) == 0.5
    assert outputs.pass_on(2, two, computed=True) == 5.0
    assert outputs.pass_on(3, torch.tensor([9.0]), computed=False) == 2.5
    late = WeightedOutputs(schedule)  # the first step was left out
    assert late.pass_on(1, one, computed=True) is one
    assert late.pass_on(2, two, computed=True) is two
    assert late.pass_on(4, torch.tensor([9.0]), computed=False) == 4.0


def test_low_precision_is_summed_in_float32() -> None:
    outputs = [torch.tensor([value], dtype=torch.bfloat16) for value in (1.0, 1.0078125, 0.0)]
    found = weighted_sum((256.0, -256.0, 1.0), outputs)
    assert found.dtype == torch.bfloat16
    assert found == -2.0
    assert weighted_sum((0.0, 0.0, 1.0), outputs) is outputs[2]


def test_answers_are_replaced_in_the_form_that_they_have() -> None:
    def twice(tensor: torch.Tensor) -> torch.Tensor:
        return 2 * tensor

    assert replaced(torch.ones(1), twice) == 2
    assert replaced((torch.ones(1), "rest"), twice) == (2, "rest")
    assert replaced(Transformer2DModelOutput(sample=torch.ones(1)), twice).sample == 2
    with pytest.raises(TypeError, match=r"answers with one tensor, got .*; ScheduleConfig\(order=1\) extrapolates"):
        replaced([torch.ones(1)], twice)
