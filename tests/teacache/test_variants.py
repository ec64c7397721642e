"""Further pipelines of known models: in short, what the slow sweeps look at whole, and what is theirs alone."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from functools import partial
from typing import Any
from unittest import mock

import diffusers
import pytest
import torch

import teacache
from teacache.calibrate import conditions_of, record
from teacache.recording import Recording
from teacache.registry import MODELS
from tests.teacache import variants
from tests.teacache.test_hooks import Abort, abort_at
from tests.teacache.test_models import decisions, steps_computed
from tests.teacache.tiny import TINY
from tests.teacache.variants import STEPS, SWEPT, VARIANTS, make

SKIPPING = teacache.AdaptiveConfig(tolerance=1e9, max_consecutive_skips=1)
"""Computes every other step, the first three and the last."""


generate = partial(variants.generate, guided=True)


MUCH_THE_SAME = {
    "ChromaInpaintPipeline", "FluxControlInpaintPipeline", "FluxControlNetInpaintPipeline", "Kandinsky5T2IPipeline",
    "Flux2KleinModularPipeline", "Krea2TurboModularPipeline", "LTX25ModularPipeline", "QwenImage21TurboModularPipeline",
    "QwenImageEditPlusModularPipeline", "Wan22Image2VideoModularPipeline",
    "LTX2HDRPipeline", "LTX2InContextPipeline", "PixArtAlphaPipeline", "QwenImageControlNetInpaintPipeline",
    "QwenImageEditInpaintPipeline", "StableAudio3AudioToAudioPipeline", "StableDiffusion3ControlNetInpaintingPipeline",
    "StableDiffusion3InpaintPipeline", "StableDiffusion3PAGImg2ImgPipeline", "VisualClozeGenerationPipeline",
    "ZImageControlNetInpaintPipeline", "ZImageInpaintPipeline",
}  # fmt: skip
"""As another one here."""
SLOW = {"Cosmos2_5_TransferPipeline", "HeliosPyramidModularPipeline", "HeliosPyramidPipeline",
        "WanAnimate2DistilledModularPipeline"}  # fmt: skip
"""Take a second for a test."""


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name in MUCH_THE_SAME | SLOW else ())
                        for name in VARIANTS])  # fmt: skip
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pipe(name: str) -> Any:
    return make(name)


def test_nothing_skipped_is_bit_identical_and_skipping_skips(name: str, pipe: Any) -> None:
    uncached = generate(name, pipe)
    assert torch.isfinite(uncached).all()
    with teacache.enabled(pipe, teacache.AdaptiveConfig(tolerance=0)) as cache:
        assert torch.equal(generate(name, pipe), uncached)
    assert cache.stats.skipped == 0 < cache.stats.steps
    with teacache.enabled(pipe, SKIPPING) as cache:
        assert not torch.equal(generate(name, pipe), uncached)
    late = SWEPT[name].late
    for call in cache.stats.calls:
        (sample,) = call.computed
        skipped = {late + 3 + 2 * time for time in range(len(sample))} - {len(sample) - 1}
        assert sample == tuple(step not in skipped for step in range(len(sample)))
    assert len(cache.stats.calls) == SWEPT[name].runs * len({call.branch for call in cache.stats.calls})


def test_every_pipeline_of_a_known_model_is_tested() -> None:
    """But for those that go on from what a prior makes: with another denoiser, or with another pipeline."""
    models = re.compile(rf"\b({'|'.join(MODELS)})\b")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is deprecated
        kinds = [getattr(diffusers, name) for name in dir(diffusers) if name.endswith("Pipeline")]
    kinds = [
        kind for kind in kinds if inspect.isclass(kind) and "prior_scheduler" not in inspect.signature(kind).parameters
    ]
    known = {kind.__name__ for kind in kinds if models.search(str(inspect.signature(kind)))}
    assert known <= SWEPT.keys()


def test_every_modular_pipeline_of_a_known_model_is_tested() -> None:
    """With its steps from embeddings to latents for one of the things that it can do."""
    names = [name for name in dir(diffusers) if name.endswith("ModularPipeline") and name != "ModularPipeline"]
    components = {name: getattr(diffusers, name)().blocks.expected_components for name in names}
    known = {name for name in names
             if any(getattr(one.type_hint, "__name__", "") in MODELS for one in components[name])}  # fmt: skip
    assert known <= SWEPT.keys()


def test_an_aborted_run_leaves_nothing_behind(name: str, pipe: Any) -> None:
    with teacache.enabled(pipe, SKIPPING) as cache:
        fresh = generate(name, pipe)
        fresh_decisions = decisions(cache.take_stats())
        for step in (0, 3):
            with pytest.raises(Abort):
                generate(name, pipe, seeds=(7,), callback_on_step_end=abort_at(step))
            if step == 0 and not SWEPT[name].scheduled:
                cache.discard()
            assert torch.equal(generate(name, pipe), fresh)
        assert sorted(decisions(cache.stats), key=repr) == sorted(fresh_decisions * 2, key=repr)


LONG = {"num_frames": 17, "base_num_frames": 9, "overlap_history": 5, "ar_step": 0}
"""17 frames in three runs: 9 at once, of which 5 are known but in the first."""


@pytest.mark.parametrize(
    ("arguments", "runs"), [({"ar_step": 0}, 1), (LONG, 3), ({**LONG, "addnoise_condition": 20}, 3)]
)
def test_steps_are_known_where_every_frame_has_a_scheduler(arguments: dict[str, Any], runs: int) -> None:
    """The pipeline's own stands still; from one part of a long video to the next timesteps may go on falling."""
    name, config = "SkyReelsV2DiffusionForcingPipeline", teacache.ScheduleConfig(steps=(0, 2, 4, 6), order=0)
    pipe = make(name)
    with teacache.enabled(pipe, config) as cache:
        generate(name, pipe, **arguments)
    assert steps_computed(cache.stats) == {(0, 2, 4, 6)}
    assert len(cache.stats.calls) == 2 * runs
    assert cache.stats.steps == 2 * runs * 7


def test_a_stage_of_the_first_chunk_may_have_twice_the_steps() -> None:
    name = "HeliosPyramidDistilledModularPipeline"
    pipe = make(name)
    with teacache.enabled(pipe, SKIPPING) as cache:
        variants.generate(name, pipe, is_amplify_first_chunk=True)
    assert steps_computed(cache.stats) == {(0, 1, 2, 4, 6, 8, 10, 12, 13)}
    assert [call.steps for call in cache.stats.calls] == [2 * STEPS] * 2


@pytest.mark.parametrize(("left_out", "computed"), [((1, 2), (0, 2)), ((0,), (0, 1, 2)), ((3,), (0, 1, 2))])
def test_guidance_by_skipped_layers_is_a_branch_of_its_own(
    left_out: tuple[int, ...], computed: tuple[int, ...]
) -> None:
    """Three of the steps have it. Without the first or last block nothing stands in for it: it is computed."""
    tiny = TINY["StableDiffusion3Pipeline"]
    pipe = tiny.make()
    guided: dict[str, Any] = {
        "guided": True,
        "steps": 7,
        "skip_guidance_layers": list(left_out),
        "skip_layer_guidance_stop": 0.5,
    }
    uncached = tiny.generate(pipe, **guided)
    with teacache.enabled(pipe, teacache.AdaptiveConfig(tolerance=0)):
        assert torch.equal(tiny.generate(pipe, **guided), uncached)
    with teacache.enabled(pipe, teacache.ScheduleConfig(steps=(0, 1, 3, 6), order=0)) as cache:
        tiny.generate(pipe, **guided)
    whole, without = cache.stats.calls
    assert steps_computed(teacache.Stats(calls=(whole,))) == {(0, 1, 3, 6)}
    assert steps_computed(teacache.Stats(calls=(without,))) == {computed}


def recorded(name: str, pipe: Any, **arguments: Any) -> list[Recording]:
    """What calibration gets from a run, which is made by the tests' own call in the place of one with a text."""
    module = importlib.import_module("teacache.calibrate")  # the package has the function under that name

    def run(pipe: Any, prompt: str, **call: Any) -> None:
        generate(name, pipe, **arguments)

    with mock.patch.object(module, "_run", run):
        return record(pipe, "")


@pytest.mark.parametrize("name", ["SanaSprintPipeline", "QwenImageImg2ImgPipeline"])
def test_a_calibration_is_for_as_many_steps_as_a_run_has(name: str) -> None:
    """SANA-Sprint's scheduler ends with a timestep that is no step."""
    pipe = make(name)
    recordings = recorded(name, pipe)
    assert recordings
    conditions = conditions_of(pipe, [""], num_inference_steps=STEPS)
    assert {one.first_step + one.steps for one in recordings} == {len(conditions.timesteps)}


def test_runs_with_more_steps_than_timesteps_are_not_calibrated() -> None:
    """Without a delay from frame to frame there are as many."""
    name = "SkyReelsV2DiffusionForcingPipeline"
    with pytest.raises(ValueError, match=r"^a run makes 7 steps, its scheduler knows 5; .* can't be calibrated$"):
        recorded(name, make(name))
    assert {one.steps for one in recorded(name, make(name), ar_step=0)} == {STEPS}


@pytest.mark.parametrize("name", ["HeliosPyramidModularPipeline", "HeliosPyramidPipeline", "LTX2DFRPipeline"])
def test_pipelines_with_steps_of_their_own_are_not_calibrated(name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^{name} takes no num_inference_steps, for which alone a calibration is made"
    ):
        teacache.calibrate(make(name), ["a"])
