"""A denoiser whose tokens diffusers splits among processes: two on the CPU against one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

import teacache
from teacache.cache import denoisers_of
from teacache.calibrate import conditions_of
from teacache.configs import CacheConfig
from teacache.scheduling import Schedule
from tests.teacache.tiny import TINY, Tiny, wan

STEPS = 12
COMPUTED = (0, 1, 4, 7)
CONFIGS: dict[str, CacheConfig] = {
    "teacache": teacache.TeaCacheConfig(rel_l1_thresh=0.12, coefficients=(1.0, 0.0), order=1),
    "adaptive": teacache.AdaptiveConfig(tolerance=0.5),
    "schedule": teacache.ScheduleConfig(steps=COMPUTED, order=1),
    "measured": teacache.ScheduleConfig(computed=len(COMPUTED)),
}
CASES: dict[str, tuple[Tiny, bool]] = {
    "FLUX": (TINY["FluxPipeline"], False),
    "FLUX.2": (TINY["Flux2Pipeline"], False),
    "Qwen-Image": (TINY["QwenImagePipeline"], True),
    "Wan": (TINY["WanPipeline"], True),
    "Wan, a time for every token": (
        replace(TINY["WanPipeline"], make=lambda: wan.make_pipeline(expand_timesteps=True)),
        False,
    ),
    "Wan, two denoisers": (replace(TINY["WanPipeline"], make=wan.make_two_denoisers), False),
}
"""A pipeline that is split, and whether with guidance."""
RUNS = [run for run in product(CASES, CONFIGS) if run != ("Wan, two denoisers", "measured")]  # it can't be measured


@dataclass
class Made:
    latents: Tensor
    computed: list[tuple[tuple[bool, ...], ...]]
    distances: list[float]
    tokens: int
    """Of a sample, that one process computes."""


def make(rank: int, world: int, folder: str) -> None:
    """What one process of several does."""
    torch.set_num_threads(1)
    # diffusers 0.42 divides by the number of accelerators, also where the CPU takes their place.
    torch.accelerator.device_count = lambda: 1
    meeting, one_minute = f"file://{folder}/meeting", timedelta(seconds=60)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=one_minute)
    torch.save(make_all(world, folder), f"{folder}/{rank}")


def make_all(world: int, folder: str) -> dict[tuple[str, str], Made]:
    return {each: run(*each, world, Path(folder, f"{each}.json")) for each in RUNS}


def run(case: str, method: str, world: int, calibration: Path) -> Made:
    from diffusers import ContextParallelConfig

    (tiny, guided), config = CASES[case], CONFIGS[method]
    pipe = tiny.make()
    if isinstance(config, teacache.TeaCacheConfig):
        config = replace(config, rel_l1_thresh=tiny.threshold)
    if isinstance(config, teacache.ScheduleConfig) and config.computed:
        if world == 1:
            calibrated(pipe, branches=2 if guided else 0).save(calibration)
        config = replace(config, calibration=str(calibration))
    cache = teacache.enable(pipe, config)
    if world > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            split = ContextParallelConfig(ulysses_degree=world, ulysses_anything=True)
            for denoiser in denoisers_of(pipe):
                denoiser.enable_parallelism(config=split)  # type: ignore[operator]
    seen: list[int] = []
    # Behind it diffusers gathers them.
    pipe.transformer.proj_out.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    latents = tiny.generate(pipe, seeds=(0, 1), steps=STEPS, guided=guided)
    calls = cache.stats.calls
    changes = [change for call in calls for row in call.distances for change in row if change is not None]
    return Made(latents, [call.computed for call in calls], changes, max(seen))


def calibrated(pipe: Any, *, branches: int) -> teacache.Calibration:
    """As if measured: lines through the last two of the guided outputs, and a little of what a run starts from."""
    rows = []
    for step in range(STEPS):
        nodes = [node for node in COMPUTED if node <= step]
        slope = (step - nodes[-1]) / (nodes[-1] - nodes[-2]) if len(nodes) > 1 else 0.0
        outputs = [*[0.0] * (len(nodes) - 2), -slope, 1.0 + slope][-len(nodes) :]
        rows.append((0.01, *(weight for output in outputs for weight in (output, *[0.0] * branches))))
    conditions = conditions_of(pipe, [], num_inference_steps=STEPS)
    conditions = replace(conditions, timesteps=tuple(map(float, range(STEPS, 0, -1))))  # there was no run yet
    return teacache.Calibration(
        conditions=conditions, indicator="", polynomials={}, schedules={},
        measured={"transformer": (Schedule(steps=COMPUTED, error=0.0, weights=tuple(rows), branches=branches or 1),)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """What this process makes, and each of two."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    one = make_all(1, folder)
    spawn(make, (2, folder), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (torch.load(f"{folder}/{rank}", weights_only=False) for rank in range(2))
    return one, first, second


@pytest.mark.parametrize(("case", "method"), RUNS)
def test_two_processes_decide_and_make_as_one_does(made: tuple[Any, Any, Any], case: str, method: str) -> None:
    alone, *ranks = (every[case, method] for every in made)
    assert {False, True} == {step for call in alone.computed for row in call for step in row}
    for rank in ranks:
        assert rank.computed == alone.computed
        # The measured changes are those of whole samples: of parts of them they differ by some percent.
        assert rank.distances == pytest.approx(alone.distances, rel=1e-3)
        torch.testing.assert_close(rank.latents, alone.latents, rtol=0, atol=1e-4)
        assert rank.tokens < alone.tokens
