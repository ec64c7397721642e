"""LTX-2: the sound leaves the stack with a residual of its own in every branch, and goes by a scheduler of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.ltx2.dfr_layout import LTX2DFREpilogueTile
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
from torch import Tensor

import teacache
from teacache.models import Blocks, Model
from teacache.registry import MODELS
from tests.teacache.given import photo
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, steps_computed
from tests.teacache.tiny import ltx2
from tests.teacache.tiny.base import rows
from tests.teacache.variants import make

LTX2 = MODELS["LTX2VideoTransformer3DModel"]
STEPS = 7
FULLY_GUIDED = {
    "guidance_scale": 3.0, "stg_scale": 1.0, "modality_scale": 3.0, "guidance_rescale": 0.7, "audio_stg_scale": 1.0,
    "audio_modality_scale": 3.0, "audio_guidance_rescale": 0.7, "spatio_temporal_guidance_blocks": [1],
}  # fmt: skip
"""By text in one batch, by blocks without attention and by streams that do not meet in a call each."""


def sound(made: Tensor) -> Tensor:
    """Of what the tiny pipeline made, whose last 20 numbers are 5 tokens of 2 channels x 2 bins."""
    return made[:, -20:]


def test_three_kinds_of_guidance_are_three_branches_and_in_each_the_sound_has_its_own_residual() -> None:
    pipe = ltx2.make_pipeline()
    uncached = ltx2.generate(pipe, seeds=(1, 2), steps=STEPS, guided=True, **FULLY_GUIDED)
    with teacache.enabled(pipe, teacache.ScheduleConfig(steps=(0, 1, 4))) as cache:
        made = ltx2.generate(pipe, seeds=(1, 2), steps=STEPS, guided=True, **FULLY_GUIDED)
    assert [call.branch for call in cache.stats.calls] == ["cond_uncond", "uncond_stg", "uncond_modality"]
    assert [call.batch_size for call in cache.stats.calls] == [2, 2, 2]
    assert steps_computed(cache.stats) == {(0, 1, 4)}
    with plainly_cached(pipe.transformer, LTX2, (0, 1, 4), branches=3, order=1):
        expected = ltx2.generate(pipe, seeds=(1, 2), steps=STEPS, guided=True, **FULLY_GUIDED)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(sound(made), sound(uncached), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_rows_that_decide_differently_have_the_sound_that_they_have_alone(device: Any) -> None:
    pipe = ltx2.make_pipeline().to(torch.float64)

    def made(seeds: tuple[int, ...]) -> tuple[Tensor, list[tuple[bool, ...]]]:
        config = teacache.AdaptiveConfig(tolerance=0.3, residual_device=device)
        with teacache.enabled(pipe, config) as cache:
            latents = ltx2.generate(pipe, seeds=seeds, guided=True)
        return latents, list(cache.stats.calls[0].computed)

    latents, decisions = made((1, 2, 3))
    assert len(set(decisions)) > 1
    for index, seed in enumerate((1, 2, 3)):
        (alone,), (own,) = made((seed,))
        assert decisions[index] == own
        torch.testing.assert_close(latents[index], alone, rtol=1e-8, atol=1e-8)


def test_a_sound_that_records_gradients_has_every_step_computed() -> None:
    pipe = ltx2.make_pipeline()

    def require(pipe: Any, step: int, timestep: Any, arguments: dict[str, Tensor]) -> dict[str, Tensor]:
        torch.set_grad_enabled(True)
        return {}

    pipe.transformer.audio_proj_in.requires_grad_(True)
    with pytest.warns(UserWarning, match="gradients are being recorded"), teacache.enabled(pipe, EXTREME) as cache:
        made = ltx2.generate(pipe, steps=3, callback_on_step_end=require)
    torch.set_grad_enabled(True)
    assert sound(made).requires_grad
    assert cache.stats.skipped == 0


def test_a_calibration_finds_schedules_for_lines_and_measures_none(tmp_path: Path) -> None:
    pipe = ltx2.make_pipeline()

    def encode(prompt: str, **unused: Any) -> tuple[Tensor | None, ...]:
        return rows([len(prompt)], ltx2.TEXT_TOKENS, ltx2.TEXT_WIDTH), torch.ones(1, ltx2.TEXT_TOKENS), None, None

    pipe.encode_prompt = encode
    with pytest.raises(teacache.CoefficientsError, match=r"published for this LTX2VideoTransformer3D.*calibrate\("):
        teacache.enable(pipe)
    call: dict[str, Any] = {"height": 32, "width": 32, "num_frames": 5, **ltx2.UNGUIDED}
    fitting = {"degree": 1, "num_inference_steps": STEPS, **call}
    with pytest.warns(UserWarning, match=r"^no schedule can be measured on LTX2Pipeline, got measured=\[3\]; "):
        calibration = teacache.calibrate(pipe, ["a", "bb"], measured=[3], **fitting)
    assert calibration.measured == {}
    file = str(calibration.save(tmp_path))
    with teacache.enabled(pipe, teacache.ScheduleConfig(computed=3, calibration=file)) as cache:
        pipe("a", num_inference_steps=STEPS, output_type="latent", **call)
    assert steps_computed(cache.stats) == {calibration.schedule(3).steps}
    with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=9.0, calibration=file)) as cache:
        pipe("a", num_inference_steps=STEPS, output_type="latent", **call)
    assert steps_computed(cache.stats) == {(0, 6)}


def test_a_record_whose_streams_do_not_fit_is_refused() -> None:
    blocks = Blocks(name="blocks", returns=("hidden_states",))
    with pytest.raises(ValueError, match="Foo: blocks must return audio, got hidden_states"):
        Model(transformer="Foo", stack=(blocks,), further_streams=("audio",))
    both = Blocks(name="blocks", returns=("hidden_states", "audio"))
    with pytest.raises(ValueError, match="Foo: only one stream comes by proj_out, got"):
        Model(transformer="Foo", stack=(both,), further_streams=("audio",), published_exit="proj_out")


def test_tiles_are_branches_whatever_picture_is_given_to_some_of_them() -> None:
    """More of them than a loop of somebody's own would call at one step."""
    pipe, computed = make("LTX2DFRPipeline"), (0, 1, 4)
    whole, halves = slice(0, 4), (slice(0, 2), slice(2, 4))
    tiles = [LTX2DFREpilogueTile(frames=frames, heights=heights, widths=whole, blend_weight=torch.ones(1, 2, 4))
             for frames in (slice(at, at + 1) for at in range(3)) for heights in halves]  # fmt: skip
    given = LTX2VideoCondition(frames=photo((0,), 32, 32)["image"])  # the first frame, in the first two tiles

    def made() -> Tensor:
        return ltx2.generate_by_sigmas(pipe, steps=5, video_tiles=tiles, conditions=given)

    uncached = made()
    with teacache.enabled(pipe, teacache.ScheduleConfig(steps=computed, order=0)) as cache:
        cached = made()
    assert [call.branch for call in cache.stats.calls] == [str(tile) for tile in range(6)]
    assert steps_computed(cache.stats) == {computed}
    with plainly_cached(pipe.transformer, LTX2, computed, branches=6):
        torch.testing.assert_close(cached, made(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(cached, uncached, rtol=1e-3, atol=1e-3)


def test_runs_are_told_apart_where_sigma_is_that_of_a_given_frame() -> None:
    """As Echo calls it, by itself: the tokens of the first frame are at time 0, and so is sigma."""
    pipe = ltx2.make_pipeline()
    denoiser, calls = pipe.transformer, []
    handle = denoiser.register_forward_pre_hook(lambda module, args, given: calls.append(given), with_kwargs=True)
    ltx2.generate(pipe, steps=8)
    handle.remove()
    for given in calls:
        time = given["timestep"].float().flatten()[:1]
        times = time.repeat(1, given["hidden_states"].shape[1])
        times[:, : times.shape[1] // 4] = 0
        given.update(timestep=times, sigma=times[:, 0], audio_sigma=time,
                     audio_timestep=time.repeat(1, given["audio_hidden_states"].shape[1]))  # fmt: skip
    config = teacache.AdaptiveConfig(tolerance=1e9, max_consecutive_skips=1)
    with torch.no_grad(), teacache.enabled(denoiser, config) as cache:
        for _ in range(2):
            for given in calls:
                denoiser(**given)
    assert [call.computed[0] for call in cache.stats.calls] == [(True, True, True, False, True, False, True, False)] * 2
