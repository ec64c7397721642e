"""Wan's two published modes, and Wan 2.2's two denoisers."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel
from torch import Tensor

import teacache
from teacache.checkpoint import Checkpoint
from teacache.coefficients import find_recipe
from teacache.predictors import Extrapolation, Predictor
from teacache.registry import model_for
from tests.teacache.families.by_hand import called, changes
from tests.teacache.plain import plainly_cached
from tests.teacache.test_hooks import Abort, abort_at
from tests.teacache.tiny import wan, wan_animate

T2V_14B = {"num_layers": 40, "num_attention_heads": 40, "in_channels": 16, "image_dim": None}


def embedded(transformer: WanTransformer3DModel, timesteps: list[Tensor]) -> list[Tensor]:
    """`e` of the original code: what the time embedder makes of every step's timestep, in its own precision."""
    embedder = transformer.condition_embedder
    dtype = next(embedder.time_embedder.parameters()).dtype
    return [embedder.time_embedder(embedder.timesteps_proj(timestep).to(dtype)) for timestep in timesteps]


def run(pipe: Any, config: teacache.TeaCacheConfig) -> tuple[teacache.CallStats, list[Tensor]]:
    with teacache.enabled(pipe, config) as cache, called(pipe.transformer, lambda kwargs: kwargs["timestep"]) as seen:
        wan.generate(pipe, steps=12, num_frames=5)
    return cache.stats.calls[0], seen


def test_std_compares_the_time_embedding_in_float32(tmp_path: Path) -> None:
    wan.make_transformer().to(torch.bfloat16).save_pretrained(tmp_path)
    transformer = WanTransformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert transformer.dtype == torch.bfloat16
    assert next(transformer.condition_embedder.time_embedder.parameters()).dtype == torch.float32
    call, timesteps = run(
        wan.make_pipeline(transformer), teacache.TeaCacheConfig(rel_l1_thresh=0.0, published="Wan2.1-T2V-1.3B, std")
    )
    assert list(call.distances[0][1:-1]) == changes(embedded(transformer, timesteps))[:-1]
    assert list(call.distances[0][1:-1]) != changes([e.bfloat16() for e in embedded(transformer, timesteps)])[:-1]


def test_ret_compares_the_projection_forces_five_steps_and_not_the_last() -> None:
    pipe = wan.make_pipeline()
    call, timesteps = run(
        pipe, teacache.TeaCacheConfig(rel_l1_thresh=1e9, published="Wan2.1-T2V-1.3B, ret", max_consecutive_skips=99)
    )
    embedder = pipe.transformer.condition_embedder
    projected = [embedder.time_proj(embedder.act_fn(e)) for e in embedded(pipe.transformer, timesteps)]
    assert call.computed[0] == (True,) * 5 + (False,) * 7
    assert list(call.distances[0][5:]) == changes(projected)[4:]


def test_timesteps_of_every_token_belong_to_their_rows() -> None:
    """Wan 2.2 TI2V, whose first frame may be given: a time embedding for every token."""
    pipe = wan.make_pipeline(expand_timesteps=True).to(torch.float64)
    config = teacache.TeaCacheConfig(rel_l1_thresh=1.0, coefficients=(1.0, 0.0))
    with teacache.enabled(pipe, config) as cache:
        (alone,) = wan.generate(pipe, seeds=(2,), num_frames=5)
        batch = wan.generate(pipe, seeds=(1, 2, 3), num_frames=5)
    single, triple = cache.stats.calls
    assert 0 < single.skipped < single.steps
    assert triple.computed == single.computed * 3
    torch.testing.assert_close(batch[1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "denoisers", "name"),
    [(T2V_14B, 1, "Wan2.1-T2V-14B, std"), ({**T2V_14B, "num_layers": 30, "num_attention_heads": 12}, 1,
                                           "Wan2.1-T2V-1.3B, std")],
)  # fmt: skip
def test_the_config_tells_the_text_to_video_models(config: dict[str, Any], denoisers: int, name: str) -> None:
    checkpoint = Checkpoint(transformer="WanTransformer3DModel", config=config, denoisers=denoisers)
    found = find_recipe(teacache.TeaCacheConfig(), checkpoint)
    assert found == find_recipe(teacache.TeaCacheConfig(published=name), checkpoint)
    assert found.indicator == "std"


@pytest.mark.parametrize(
    ("config", "denoisers"), [(T2V_14B, 2), ({**T2V_14B, "in_channels": 36, "image_dim": 1280}, 1)], ids=["2.2", "I2V"]
)
def test_what_the_config_does_not_tell_is_asked_for_by_name(config: dict[str, Any], denoisers: int) -> None:
    checkpoint = Checkpoint(transformer="WanTransformer3DModel", config=config, denoisers=denoisers)
    with pytest.raises(teacache.CoefficientsError, match=r"by name.*Wan2.1-I2V-14B-480P, ret"):
        find_recipe(teacache.TeaCacheConfig(), checkpoint)


EXTREME = teacache.TeaCacheConfig(rel_l1_thresh=1e9, coefficients=(1.0, 0.0), max_consecutive_skips=2)


@pytest.mark.parametrize("guided", [False, True])
def test_both_denoisers_of_wan_2_2_are_cached(guided: bool) -> None:
    """Each compares and reuses within its own steps: the first step of the second one is computed."""
    pipe = wan.make_two_denoisers()
    with teacache.enabled(pipe, EXTREME) as cache:
        latents = wan.generate(pipe, steps=16, num_frames=5, guided=guided)
    branches = 2 if guided else 1
    calls = cache.stats.calls
    assert len(calls) == 2 * branches
    assert cache.stats.steps == 16 * branches
    lengths = [call.steps for call in calls]
    assert min(lengths) >= 4
    computed = {length: {step for step in range(length) if step % 3 == 0} for length in lengths}
    computed[calls[-1].steps].add(calls[-1].steps - 1)  # the last step of the run; the first denoiser has none
    assert [{step for step, computes in enumerate(call.computed[0]) if computes} for call in calls] == [
        computed[length] for length in lengths
    ]
    with ExitStack() as stack:
        for denoiser, length in ((pipe.transformer, calls[0].steps), (pipe.transformer_2, calls[-1].steps)):
            stack.enter_context(plainly_cached(denoiser, model_for(denoiser), computed[length], branches=branches))
        expected = wan.generate(pipe, steps=16, num_frames=5, guided=guided)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("step", [2, 14], ids=["before the switch", "after it"])
def test_a_run_of_wan_2_2_that_is_aborted_leaves_nothing_behind(step: int) -> None:
    pipe = wan.make_two_denoisers()
    with teacache.enabled(pipe, EXTREME) as cache:
        fresh = wan.generate(pipe, steps=16, num_frames=5)
        fresh_stats = cache.take_stats()
        with pytest.raises(Abort):
            wan.generate(pipe, seeds=(7,), steps=16, num_frames=5, callback_on_step_end=abort_at(step))
        assert torch.equal(wan.generate(pipe, steps=16, num_frames=5), fresh)
        assert [call.computed for call in cache.stats.calls] == [call.computed for call in fresh_stats.calls]


def test_the_first_denoiser_of_wan_2_2_keeps_nothing_once_the_second_one_is_called() -> None:
    pipe = wan.make_two_denoisers()
    residuals: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def kept_by(predictor: Predictor) -> Tensor:
        assert isinstance(predictor, Extrapolation)
        return predictor._residuals[0]

    def look(pipe: Any, step: int, timestep: Tensor, arguments: dict[str, Any]) -> dict[str, Any]:
        if step == 0:
            branches = cache._sessions[0]._run.branches.values()  # type: ignore[union-attr]
            residuals.extend(weakref.ref(kept_by(*branch._predictors)) for branch in branches)
        alive.append(any(residual() is not None for residual in residuals))
        return arguments

    with teacache.enabled(pipe, teacache.ScheduleConfig(steps=(0,), order=1)) as cache:
        wan.generate(pipe, steps=16, num_frames=5, guided=True, callback_on_step_end=look)
    assert len(residuals) == 2
    first_steps = cache.stats.calls[0].steps
    assert alive == [True] * first_steps + [False] * (16 - first_steps)
    assert [call.skipped for call in cache.stats.calls] == [call.steps - 1 for call in cache.stats.calls]


def test_vace_with_a_hint_behind_its_last_block_is_refused() -> None:
    torch.manual_seed(0)
    transformer = WanVACETransformer3DModel(**wan.CONFIG, vace_layers=[0, 2], vace_in_channels=96)
    with pytest.raises(teacache.UnsupportedModelError, match=r"behind its last block \(2 is in vace_layers\)"):
        teacache.enable(transformer, EXTREME)


def test_animate_with_a_face_behind_its_last_block_is_refused() -> None:
    transformer = wan_animate.make_transformer(num_layers=3, inject_face_latents_blocks=1)
    with pytest.raises(teacache.UnsupportedModelError, match=r"behind its last block \(2, a multiple of 1\)"):
        teacache.enable(transformer, EXTREME)


def test_animate_does_not_look_at_the_face_between_skipped_blocks() -> None:
    pipe = wan_animate.make_pipeline()
    looks: list[int] = []
    pipe.transformer.face_adapter[1].to_q.register_forward_pre_hook(lambda module, args: looks.append(1))
    with teacache.enabled(pipe, EXTREME) as cache:
        wan_animate.generate(pipe, steps=7)
    assert len(looks) == cache.stats.computed == 3
