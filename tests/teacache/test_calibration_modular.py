"""Calibrations of modular pipelines: of classes that have no other ones, and of FLUX, where both must agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ModularPipeline, ModularPipelineBlocks
from diffusers.modular_pipelines import InputParam, OutputParam, PipelineState, SequentialPipelineBlocks
from diffusers.modular_pipelines.flux.modular_blocks_flux import FluxCoreDenoiseStep
from diffusers.modular_pipelines.minimax_h3.modular_blocks_minimax_h3 import MiniMaxH3AutoDenoiseStep

import teacache
from teacache.configs import CacheConfig
from teacache.registry import MODELS
from tests.teacache.test_calibration import CALL, PROMPTS, PromptedFlux
from tests.teacache.test_calibration import prompted as prompted
from tests.teacache.test_hooks import hooks_on
from tests.teacache.tiny import TINY, Tiny, minimax_h3
from tests.teacache.tiny.base import of_blocks
from tests.teacache.tiny.flux import embeddings

ONLY_MODULAR = [
    name for model in MODELS.values() if all("Modular" in name for name in model.pipelines) for name in model.pipelines
]
STEPS = 8


class Words(ModularPipelineBlocks):
    """As `PromptedFlux` takes words."""

    @property
    def inputs(self) -> list[InputParam]:
        return [InputParam("prompt", required=True)]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        kind = "denoiser_input_fields"
        return [OutputParam(name, kwargs_type=kind) for name in ("prompt_embeds", "pooled_prompt_embeds")]

    def __call__(self, components: Any, state: PipelineState) -> tuple[Any, PipelineState]:
        block_state = self.get_block_state(state)
        block_state.prompt_embeds, block_state.pooled_prompt_embeds = embeddings([len(block_state.prompt)])
        self.set_block_state(state, block_state)
        return components, state


def modular_flux(pipe: PromptedFlux) -> Any:
    """A modular pipeline with the same components that takes words."""
    blocks = SequentialPipelineBlocks.from_blocks_dict({"words": Words(), "denoise": FluxCoreDenoiseStep()})
    return of_blocks(blocks, transformer=pipe.transformer, scheduler=pipe.scheduler)


def call_of(tiny: Tiny, pipe: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the tiny pipeline is called with, but for the generator."""
    calls: list[dict[str, Any]] = []
    run = ModularPipeline.__call__

    def noted(self: ModularPipeline, **call: Any) -> Any:
        calls.append(call)
        return run(self, **call)

    with monkeypatch.context() as patched:
        patched.setattr(ModularPipeline, "__call__", noted)
        tiny.generate(pipe, steps=STEPS)
    (call,) = calls
    return {name: value for name, value in call.items() if name not in ("generator", "output")}


@pytest.mark.parametrize("name", [*ONLY_MODULAR, "QwenImageModularPipeline", "WanModularPipeline"])
def test_what_a_modular_pipeline_calibrates_caches_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their blocks begin behind the encoders: they take no prompt, and differ by their seeds."""
    tiny = TINY[name]
    pipe = tiny.make()
    call = call_of(tiny, pipe, monkeypatch)
    calibration = teacache.calibrate(pipe, PROMPTS, degree=1, **call)
    assert hooks_on(pipe.transformer) == []
    assert calibration.polynomial().pairs % (3 * (STEPS - 1)) == 0
    assert calibration.measured == {}
    file = str(calibration.save(tmp_path))
    assert teacache.Calibration.load(file) == calibration
    uncached = tiny.generate(pipe, steps=STEPS)
    for config in (
        teacache.TeaCacheConfig(rel_l1_thresh=1e9, calibration=file),
        teacache.ScheduleConfig(computed=3, calibration=file),
    ):
        with teacache.enabled(pipe, config) as cache:
            assert not torch.equal(tiny.generate(pipe, steps=STEPS), uncached)
        assert 0 < cache.stats.computed < cache.stats.steps


def test_flux_is_calibrated_alike_by_pipelines_of_either_kind(prompted: PromptedFlux) -> None:
    expected = teacache.calibrate(prompted, PROMPTS, degree=1, measured=(), **CALL)
    assert teacache.calibrate(modular_flux(prompted), PROMPTS, degree=1, **CALL) == expected


@pytest.mark.parametrize("config", [teacache.TeaCacheConfig(), teacache.ScheduleConfig(computed=3)])
def test_the_command_of_the_refusal_calibrates(config: CacheConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = TINY["WanAnimate2ModularPipeline"]
    pipe = tiny.make()
    call = call_of(tiny, pipe, monkeypatch)
    del call["num_inference_steps"]
    with pytest.raises(teacache.CoefficientsError) as refused:
        teacache.enable(pipe, config)
    assert "jobs" not in str(refused.value)
    (command,) = re.findall(r": (teacache\.calibrate\(.*?\))\.save", str(refused.value))
    names = {"teacache": teacache, "pipe": pipe, "prompts": ["a"], "its_other_inputs": call}
    assert isinstance(eval(command, names), teacache.Calibration)


def test_measured_schedules_are_refused(prompted: PromptedFlux) -> None:
    with pytest.raises(ValueError, match=r"no schedules can be measured, got measured=\(3,\)"):
        teacache.calibrate(modular_flux(prompted), PROMPTS, degree=1, measured=(3,), **CALL)


def test_a_denoiser_that_no_run_goes_through_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    denoisers = {name: minimax_h3.make_transformer() for name in ("transformer", "transformer_ref")}
    pipe = minimax_h3.make_pipeline(MiniMaxH3AutoDenoiseStep(), **denoisers)
    call = call_of(TINY["MiniMaxH3ModularPipeline"], pipe, monkeypatch)
    with pytest.raises(ValueError, match=r"fewer than 2 steps in transformer_ref; .* unload it"):
        teacache.calibrate(pipe, PROMPTS, degree=1, **call)
