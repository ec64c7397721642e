"""A denoiser whose tokens diffusers splits among processes: two on the CPU against one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

import teacache
from teacache.configs import CacheConfig
from tests.teacache.tiny import TINY

CONFIGS: dict[str, CacheConfig] = {
    "teacache": teacache.TeaCacheConfig(rel_l1_thresh=0.12, coefficients=(1.0, 0.0), order=1),
    "adaptive": teacache.AdaptiveConfig(tolerance=0.5),
    "schedule": teacache.ScheduleConfig(steps=(0, 1, 4, 7), order=1),
}
PIPELINES = ("FluxPipeline", "Flux2Pipeline")


@dataclass
class Made:
    latents: Tensor
    computed: list[tuple[tuple[bool, ...], ...]]
    distances: list[float]


def make(rank: int, world: int, folder: str) -> None:
    """What one process does."""
    torch.set_num_threads(1)
    if world > 1:
        # diffusers 0.42 divides by the number of accelerators, also where the CPU takes their place.
        torch.accelerator.device_count = lambda: 1
        meeting = f"file://{folder}/meeting"
        one_minute = timedelta(seconds=60)
        torch.distributed.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=world, timeout=one_minute
        )
    made = {(pipeline, config): run(pipeline, config, world) for pipeline in PIPELINES for config in CONFIGS}
    torch.save(made, f"{folder}/{world}-{rank}")


def run(pipeline: str, config: str, world: int) -> Made:
    from diffusers import ContextParallelConfig

    pipe = TINY[pipeline].make()
    cache = teacache.enable(pipe, CONFIGS[config])
    if world > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            split = ContextParallelConfig(ulysses_degree=world, ulysses_anything=True)
            pipe.transformer.enable_parallelism(config=split)
    latents = TINY[pipeline].generate(pipe, seeds=(0, 1))
    calls = cache.stats.calls
    changes = [change for call in calls for row in call.distances for change in row if change is not None]
    return Made(latents, [call.computed for call in calls], changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """What one process makes, and each of two."""
    folder = tmp_path_factory.mktemp("ranks")
    for world in (1, 2):
        spawn(make, (world, str(folder)), nprocs=world)  # type: ignore[no-untyped-call]
    one, first, second = (torch.load(folder / name, weights_only=False) for name in ("1-0", "2-0", "2-1"))
    return one, first, second


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("config", CONFIGS)
def test_two_processes_decide_and_make_as_one_does(made: tuple[Any, Any, Any], pipeline: str, config: str) -> None:
    alone, *ranks = (every[pipeline, config] for every in made)
    assert {False, True} == {step for call in alone.computed for row in call for step in row}
    for rank in ranks:
        assert rank.computed == alone.computed
        # The measured changes are those of whole samples: of parts of them they differ by some percent.
        assert rank.distances == pytest.approx(alone.distances, rel=1e-3)
        torch.testing.assert_close(rank.latents, alone.latents, rtol=0, atol=1e-4)
