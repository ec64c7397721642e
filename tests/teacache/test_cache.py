"""Turning the cache on and off, what is refused, and whose runs the statistics count."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
import weakref
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FirstBlockCacheConfig,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    UNet2DModel,
)
from torch import nn

import teacache
from teacache.calibration import Conditions
from teacache.checkpoint import Checkpoint, described
from teacache.coefficients import find_recipe
from teacache.fitting import Polynomial
from teacache.predictors import Extrapolation
from teacache.published import PUBLISHED
from teacache.scheduling import Schedule
from tests.teacache.test_hooks import SKIPPING, denoise, random_latents, same
from tests.teacache.tiny.flux import generate

DEV = {
    "num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "guidance_embeds": True, "in_channels": 64,
}  # fmt: skip


def flux(config: dict[str, Any], pipeline: str = "") -> Checkpoint:
    return Checkpoint(transformer="FluxTransformer2DModel", config=config, pipeline=pipeline)


def test_enabling_twice_is_refused(pipe: FluxPipeline) -> None:
    teacache.enable(pipe, SKIPPING)
    with pytest.raises(teacache.AlreadyEnabledError, match=r"teacache\.disable\(\.\.\.\) comes first"):
        teacache.enable(pipe.transformer, SKIPPING)


def test_a_cache_of_diffusers_is_not_mixed_with_ours(pipe: FluxPipeline) -> None:
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    with pytest.raises(teacache.AlreadyEnabledError, match=r"disable_cache\(\) comes first"):
        teacache.enable(pipe, SKIPPING)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(teacache.UnsupportedModelError, match=r"does not know Linear\. Known: .*FluxTransformer2DModel"):
        teacache.enable(nn.Linear(1, 1), SKIPPING)


def test_a_pipeline_without_a_transformer_is_refused() -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    unet = UNet2DModel(sample_size=8, block_out_channels=(32,), down_block_types=("DownBlock2D",),
                       up_block_types=("UpBlock2D",))  # fmt: skip
    with pytest.raises(teacache.UnsupportedModelError, match="DDPMPipeline has no transformer to cache"):
        teacache.enable(DDPMPipeline(unet=unet, scheduler=DDPMScheduler()), SKIPPING)


def test_without_coefficients_the_way_to_get_them_is_told(pipe: FluxPipeline) -> None:
    with pytest.raises(teacache.CoefficientsError, match=r"teacache\.calibrate\(pipe, prompts"):
        teacache.enable(pipe, teacache.TeaCacheConfig())


def test_a_refused_enable_leaves_no_hook(pipe: FluxPipeline) -> None:
    with pytest.raises(teacache.CoefficientsError):
        teacache.enable(pipe)
    assert not any(hasattr(module, "_diffusers_hook") for module in pipe.transformer.modules())


@pytest.mark.parametrize(
    ("config", "pipeline", "variant"),
    [
        (DEV, "FluxPipeline", "FLUX.1-dev"),
        (DEV, "", "FLUX.1-dev"),
        (DEV, "FluxKontextPipeline", "FLUX.1-Kontext-dev"),
    ],
)
def test_published_coefficients_are_found_from_the_config(config: dict[str, Any], pipeline: str, variant: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_recipe(teacache.TeaCacheConfig(), flux(config, pipeline))
    assert found.coefficients == next(entry.coefficients for entry in PUBLISHED if entry.name == variant)


@pytest.mark.parametrize(
    ("change", "variant"), [({"guidance_embeds": False}, "schnell"), ({"in_channels": 384}, "Fill, Canny or Depth")]
)
def test_borrowed_coefficients_come_with_a_warning(change: dict[str, Any], variant: str) -> None:
    with pytest.warns(UserWarning, match=rf"FLUX\.1-{variant} was fitted on FLUX\.1-dev"):
        find_recipe(teacache.TeaCacheConfig(), flux({**DEV, **change}, "FluxPipeline"))


@pytest.mark.parametrize("name", ["FLUX.1-Krea-dev", "FLUX.1-Kontext-dev"])
def test_a_name_that_speaks_against_the_config_is_told(name: str) -> None:
    checkpoint = replace(flux(DEV), folders=(Path("black-forest-labs") / name,))
    with pytest.warns(UserWarning, match=rf"{name} has the config of FLUX\.1-dev.*published='{name}'"):
        found = find_recipe(teacache.TeaCacheConfig(), checkpoint)
    assert found == find_recipe(teacache.TeaCacheConfig(published="FLUX.1-dev"), checkpoint)


@pytest.mark.parametrize(
    ("transformer", "config", "name"),
    [
        ("FluxTransformer2DModel", DEV, "black-forest-labs/FLUX.1-dev"),
        ("FluxTransformer2DModel", DEV, "models/my-flux"),
        # One whose name begins with another's.
        ("CogVideoXTransformer3DModel", {"num_layers": 42, "num_attention_heads": 48, "patch_size_t": 2,
                                         "in_channels": 32}, "zai-org/CogVideoX1.5-5B-I2V"),
    ],
)  # fmt: skip
def test_a_name_that_goes_with_the_config_needs_no_word(transformer: str, config: dict[str, Any], name: str) -> None:
    checkpoint = Checkpoint(transformer=transformer, config=config, folders=(Path(name),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_recipe(teacache.TeaCacheConfig(), checkpoint)


def test_another_shape_of_flux_has_no_published_coefficients() -> None:
    with pytest.raises(teacache.CoefficientsError):
        find_recipe(teacache.TeaCacheConfig(), flux({**DEV, "num_layers": 8}))


@pytest.fixture
def loaded(pipe: FluxPipeline, tmp_path: Path) -> FluxPipeline:
    """A pipeline whose transformer came from a folder below `tmp_path`."""
    pipe.transformer.save_pretrained(tmp_path / "transformer")
    pipe.register_modules(transformer=FluxTransformer2DModel.from_pretrained(tmp_path / "transformer"))
    return pipe


FIT = Polynomial(
    coefficients=(1.0, 0.0), fitted_range=(0.0, 1.0), target="output", pairs=9, r2=1.0, held_out_r2=None, rmse=0.0,
    held_out_rmse=None, lowest=0.0, negative=(),
)  # fmt: skip


@pytest.fixture
def calibration(loaded: FluxPipeline) -> teacache.Calibration:
    """As it would be measured on `loaded`; polynomial and schedule are made up."""
    conditions = Conditions(
        denoisers={"transformer": described(loaded.transformer)}, scheduler=described(loaded.scheduler),
        num_inference_steps=12, timesteps=(1.0,) * 12, sigmas=(), call={}, prompts=1, prompts_sha256="",
        dtype="float32", versions={},
    )  # fmt: skip
    return teacache.Calibration(
        conditions=conditions,
        indicator="modulated_input",
        polynomials={"transformer": FIT},
        schedules={"transformer": (Schedule(steps=(0, 2, 7, 11), error=0.5),)},
    )


def test_a_calibration_beside_the_weights_is_found(
    loaded: FluxPipeline, calibration: teacache.Calibration, tmp_path: Path
) -> None:
    calibration.save(tmp_path)
    with teacache.enabled(loaded, teacache.TeaCacheConfig(rel_l1_thresh=SKIPPING.rel_l1_thresh)) as found:
        generate(loaded)
    with teacache.enabled(loaded, SKIPPING) as given:
        generate(loaded)
    assert [call.computed for call in found.stats.calls] == [call.computed for call in given.stats.calls]


def test_a_calibrated_schedule_is_found_by_its_number_of_steps(
    loaded: FluxPipeline, calibration: teacache.Calibration, tmp_path: Path
) -> None:
    with pytest.raises(teacache.CoefficientsError, match="no calibration with schedules lies beside the model"):
        teacache.enable(loaded, teacache.ScheduleConfig(computed=4))
    calibration.save(tmp_path)
    with pytest.raises(teacache.CoefficientsError, match=r"no schedule with 5 computed steps .* there are: 4 to 4"):
        teacache.enable(loaded, teacache.ScheduleConfig(computed=5))
    with teacache.enabled(loaded, teacache.ScheduleConfig(computed=4)) as cache:
        generate(loaded)
        with pytest.raises(ValueError, match="the schedule is for 12 steps and this run has 13"):
            generate(loaded, steps=13)
    (computed,) = cache.stats.calls[0].computed
    assert [step for step, was_computed in enumerate(computed) if was_computed] == [0, 2, 7, 11]


@pytest.mark.parametrize("fit", [replace(FIT, coefficients=(float("nan"),)), replace(FIT, fitted_range=(1.0, 0.0))])
def test_a_calibration_without_a_fit_is_refused(
    loaded: FluxPipeline, calibration: teacache.Calibration, tmp_path: Path, fit: Polynomial
) -> None:
    replace(calibration, polynomials={"transformer": fit}).save(tmp_path)
    with pytest.raises(teacache.CoefficientsError, match="are no fit"):
        teacache.enable(loaded)


def test_a_calibration_of_something_else_is_refused_with_the_field_that_differs(
    loaded: FluxPipeline, calibration: teacache.Calibration, tmp_path: Path
) -> None:
    calibration.save(tmp_path)
    loaded.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    with pytest.raises(teacache.CoefficientsError, match=r"scheduler shift was 1\.0 and is 3\.0; calibrate again"):
        teacache.enable(loaded)
    teacache.enable(loaded.transformer)  # says nothing of a scheduler
    teacache.disable(loaded)
    other = {**calibration.conditions.denoisers["transformer"], "num_layers": 7}
    conditions = replace(calibration.conditions, denoisers={"transformer": other})
    replace(calibration, conditions=conditions).save(tmp_path)
    with pytest.raises(teacache.CoefficientsError, match="denoiser num_layers was 7 and is 2"):
        teacache.enable(loaded)


@pytest.mark.parametrize("text", ["{", '{"coefficients": [1]}', "[]"])
def test_a_broken_calibration_file_is_refused(loaded: FluxPipeline, tmp_path: Path, text: str) -> None:
    (tmp_path / "teacache.json").write_text(text)
    with pytest.raises(teacache.CoefficientsError, match="is no calibration that teacache wrote"):
        teacache.enable(loaded)


def test_settings_that_a_pipeline_does_not_need_are_pointed_out(pipe: FluxPipeline) -> None:
    with pytest.warns(UserWarning, match="have no effect on a pipeline"):
        teacache.enable(pipe, replace(SKIPPING, num_inference_steps=4))


def test_a_scheduler_without_step_index_is_followed_by_its_timesteps(pipe: FluxPipeline) -> None:
    """Replaced after the cache was enabled; the transformer is called as a pipeline would call it."""
    with teacache.enabled(pipe, SKIPPING) as cache:
        pipe.scheduler = DDIMScheduler()
        for steps in (10, 5):
            pipe.scheduler.set_timesteps(steps)
            for timestep in pipe.scheduler.timesteps:
                denoise(pipe.transformer, torch.zeros(1, 16, 16), float(timestep) / 1000)
    assert [call.steps for call in cache.stats.calls] == [10, 5]
    assert all(call.computed[0][-1] for call in cache.stats.calls)


def test_taking_statistics_inside_a_run_does_not_disturb_it(pipe: FluxPipeline) -> None:
    with teacache.enabled(pipe, SKIPPING) as cache:
        expected = generate(pipe)

        def take(pipe: Any, index: int, timestep: Any, arguments: dict[str, Any]) -> dict[str, Any]:
            cache.take_stats()
            return arguments

        assert torch.equal(generate(pipe, callback_on_step_end=take), expected)


def test_taking_statistics_inside_a_loop_by_hand_does_not_disturb_it(transformer: FluxTransformer2DModel) -> None:
    """Nobody knows how long it is going to be: what is taken are the steps so far."""
    latents = random_latents(1)

    def loop(take_at: Collection[int]) -> tuple[list[torch.Tensor], list[teacache.Stats]]:
        outputs, taken = [], []
        with teacache.enabled(transformer, SKIPPING) as cache:
            for step in range(10):
                outputs.append(denoise(transformer, latents, 1 - step / 10))
                if step in take_at:
                    assert cache.stats.steps > 0
                    taken.append(cache.take_stats())
                    assert cache.stats == teacache.Stats()
        return outputs, [*taken, cache.stats]

    expected, (whole,) = loop(())
    outputs, parts = loop((0, 4))
    assert same(outputs, expected)
    assert [part.steps for part in parts] == [1, 4, 5]
    joined = tuple(computed for part in parts for computed in part.calls[0].computed[0])
    assert joined == whole.calls[0].computed[0]
    assert 0 < sum(part.block_seconds for part in parts) < sum(part.seconds for part in parts)


def test_uncached_measures_a_model_that_no_cache_knows() -> None:
    class Foreign(nn.Module):
        def forward(self, hidden_states: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            return hidden_states * timestep

    model = Foreign()
    with teacache.enabled(model, teacache.Uncached()) as cache:
        for value in (3.0, 2.0, 1.0):
            model(torch.ones(2, 1), timestep=torch.tensor(value))
    assert [cache.stats.sample(row).steps for row in (0, 1)] == [3, 3]
    assert (cache.stats.steps, cache.stats.computed) == (6, 6)
    assert cache.stats.seconds > 0


def test_statistics_of_finished_runs_and_taking_them(pipe: FluxPipeline) -> None:
    with teacache.enabled(pipe, SKIPPING) as cache:
        generate(pipe, steps=6, seeds=range(3))
        generate(pipe, steps=9, guided=True)
        assert [(call.branch, call.steps, call.batch_size) for call in cache.stats.calls] == [
            ("cond", 18, 3), ("cond", 9, 1), ("uncond", 9, 1),
        ]  # fmt: skip
        first = cache.take_stats()
        assert cache.stats == teacache.Stats()
        generate(pipe, steps=4)
    assert (first.steps, cache.stats.steps) == (36, 4)
    call = first.calls[0]
    assert all((computed[0], computed[-1]) == (True, True) for computed in call.computed)
    assert all(distances[0] is distances[-1] is None for distances in call.distances)
    assert 0 < call.block_seconds < call.seconds


def test_paused_runs_are_uncached_and_counted(pipe: FluxPipeline) -> None:
    uncached = generate(pipe)
    with teacache.enabled(pipe, SKIPPING) as cache:
        before = generate(pipe)
        with cache.paused():
            assert torch.equal(generate(pipe), uncached)
        assert torch.equal(generate(pipe), before)
    assert [call.skipped > 0 for call in cache.stats.calls] == [True, False, True]


def test_a_change_of_steps_or_batch_starts_afresh(pipe: FluxPipeline) -> None:
    def fresh(**arguments: Any) -> torch.Tensor:
        with teacache.enabled(pipe, SKIPPING):
            return generate(pipe, **arguments)

    changes: list[dict[str, Any]] = [
        {"steps": 12},
        {"steps": 7},
        {"steps": 7, "seeds": range(3)},
        {"steps": 12, "seeds": range(2)},
    ]
    expected = [fresh(**change) for change in changes]
    with teacache.enabled(pipe, SKIPPING):
        assert all(torch.equal(generate(pipe, **change), one) for change, one in zip(changes, expected, strict=True))


def test_apply_teacache_is_enable(pipe: FluxPipeline) -> None:
    cache = teacache.apply_teacache(pipe.transformer, SKIPPING)
    generate(pipe)
    assert cache.stats.skipped > 0


def test_the_library_imports_neither_ray_nor_jobs() -> None:
    code = "import sys, teacache; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert {"teacache", "torch"} <= loaded  # so the list tells
    assert loaded.isdisjoint({"ray", "jobs", "pydantic.main", "pyarrow"})


def test_every_public_name_is_exported_once() -> None:
    names = {name for name in vars(teacache) if not name.startswith("_")}
    modules = {name for name in names if type(getattr(teacache, name)).__name__ == "module"}
    assert names - modules == {
        "AdaptiveConfig", "AlreadyEnabledError", "Blocks", "Cache", "Calibration", "CallStats", "CoefficientsError",
        "Indicator", "Model", "Published", "RowLayout", "ScheduleConfig", "Stats", "TeaCacheConfig", "TeaCacheError",
        "Uncached", "UnsupportedModelError", "apply_teacache", "calibrate", "disable", "enable", "enabled",
        "published_for", "register", "unregister",
    }  # fmt: skip


@pytest.mark.parametrize("by_hand", [False, True], ids=["pipeline", "loop by hand"])
def test_no_residual_outlives_its_run(pipe: FluxPipeline, by_hand: bool) -> None:
    """Counts the live tensors of the hidden states' shape, (1, 16, 16), before and after a cached run."""
    latents = torch.zeros(1, 16, 16)

    def run() -> None:
        if by_hand:
            for step in range(12):
                denoise(pipe.transformer, latents, 1 - step / 12)
        else:
            generate(pipe)

    def tensors() -> int:
        gc.collect()
        return sum(type(thing) is torch.Tensor and thing.shape == (1, 16, 16) for thing in gc.get_objects())

    run()
    before = tensors()
    config = replace(SKIPPING, num_inference_steps=12 if by_hand else None)
    with teacache.enabled(pipe.transformer if by_hand else pipe, config) as cache:
        run()
        assert tensors() == before
    assert cache.stats.skipped > 0


def test_disabling_frees_a_run_that_was_given_up(transformer: FluxTransformer2DModel) -> None:
    residuals: list[weakref.ref[torch.Tensor]] = []
    cache = teacache.enable(transformer, SKIPPING)
    denoise(transformer, torch.zeros(1, 16, 16), 1.0)
    (branch,) = cache._sessions[0]._run.branches.values()  # type: ignore[union-attr]
    (predictor,) = branch._predictors
    assert isinstance(predictor, Extrapolation)
    residuals.append(weakref.ref(predictor._residuals[0]))
    del branch, predictor
    assert residuals[0]() is not None
    teacache.disable(transformer)
    assert residuals[0]() is None
    assert cache.stats.steps == 1


def test_a_call_without_a_timestep_says_what_it_takes() -> None:
    class Foreign(nn.Module):
        def forward(self, x: torch.Tensor, t: float) -> torch.Tensor:
            return x * t

    model = Foreign()
    with (
        teacache.enabled(model, teacache.Uncached()),
        pytest.raises(ValueError, match="the call has no argument timestep; it takes x, t"),
    ):
        model(torch.ones(1), 2.0)


class Doubling(nn.Module):
    """A block that adds its input to itself."""

    def forward(self, x: torch.Tensor, scale: float) -> torch.Tensor:
        return x + scale * x


class Foreign(nn.Module):
    """A transformer of nobody's: two blocks in a list with a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Doubling(), Doubling()])

    def forward(self, x: torch.Tensor, timestep: float) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x, timestep)
        return x


FOREIGN = teacache.Model(
    transformer="Foreign", stack=(teacache.Blocks(name="stages", returns=("x",)),), hidden_states="x", latents="x"
)


def test_a_record_makes_any_transformer_cacheable() -> None:
    model = Foreign()
    with teacache.enabled(model, teacache.ScheduleConfig(steps=(0, 1), order=1), model=FOREIGN) as cache:
        outputs = [float(model(torch.full((1, 1), 10.0), timestep=scale)) for scale in (3.0, 2.0, 1.0)]
    # computed: 10 x (1 + s)^2 = 160, 90; residuals 150, 80; the line goes on to 10, so 10 + 10
    assert outputs == [160.0, 90.0, 20.0]
    assert cache.stats.calls[0].computed == ((True, True, False),)


def test_a_record_for_another_class_is_refused_and_leaves_nothing() -> None:
    model = Foreign()
    wrong = replace(FOREIGN, stack=(*FOREIGN.stack, teacache.Blocks(name="layers", returns=("x",))))
    with pytest.raises(ValueError, match="Foreign has no layers; the record of its blocks is for another class"):
        teacache.enable(model, teacache.AdaptiveConfig(), model=wrong)
    assert not any("forward" in vars(module) for module in model.modules())
    with pytest.raises(ValueError, match="Foreign: stages must return x, got y"):
        replace(FOREIGN, stack=(teacache.Blocks(name="stages", returns=("y",)),))
