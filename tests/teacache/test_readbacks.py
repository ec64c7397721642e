"""How often the host waits for the device: every value that a decision needs has to be read back."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import teacache
from tests.teacache.test_hooks import SKIPPING
from tests.teacache.test_models import steps_computed
from tests.teacache.test_ranks import COMPUTED, calibrated
from tests.teacache.tiny import TINY, cogvideox, flux

READS = {
    Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__, Tensor.cpu,
    Tensor.numpy, Tensor.__array__, Tensor.nonzero, Tensor.equal, Tensor.allclose, torch.equal, torch.allclose,
    torch.nonzero, torch.masked_select, Tensor.masked_select,
}  # fmt: skip
OURS = str(Path(teacache.__file__).parent)


class Readbacks(TorchFunctionMode):
    """Counts the calls that wait for a device, of those that teacache's own code makes.

    Here every tensor is on the CPU. On another device, only `cpu()` of the scheduler's 12 timesteps would wait in
    sensitivity.py: its other tables stay on the CPU, and the rest works on copies there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        caller = sys._getframe(1)
        while caller is not None and f"{Path(torch.__file__).parent}" in caller.f_code.co_filename:
            caller = caller.f_back  # type: ignore[assignment]
        file = "" if caller is None else caller.f_code.co_filename
        if func in READS and file.startswith(OURS) and self._waits(file, func, args):
            self.counts[func.__name__] += 1
        return func(*args, **(kwargs or {}))

    @staticmethod
    def _waits(file: str, func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        return not file.endswith("sensitivity.py") or (func is Tensor.cpu and args[0].shape == (12,))


def count(name: str, config: Any, **arguments: Any) -> tuple[int, teacache.Stats]:
    """How often a run of 12 steps reads back, and what it did."""
    tiny = TINY[name]
    pipe = tiny.make()
    with teacache.enabled(pipe, config) as cache:
        with Readbacks() as readbacks:
            tiny.generate(pipe, **arguments)
        return sum(readbacks.counts.values()), cache.stats


RUNS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "one sample": ("FluxPipeline", {}),
    "batch": ("FluxPipeline", {"seeds": (0, 1, 2)}),
    "two branches": ("FluxPipeline", {"guided": True}),
    "guidance as one batch": ("CogVideoXPipeline", {"seeds": (0, 1), "guided": True}),
    "guidance as one batch, masks": ("MochiPipeline", {"seeds": (0, 1), "guided": True}),
    "no cache_context": ("Lumina2Pipeline", {"guided": True}),
}


@pytest.fixture(params=list(RUNS.values()), ids=list(RUNS))
def run(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    chosen: tuple[str, dict[str, Any]] = request.param
    return chosen


def computed_steps(stats: teacache.Stats) -> int:
    """Steps of all branches on which at least one row was computed."""
    return sum(any(step) for call in stats.calls for step in zip(*call.computed, strict=True))


def all_steps(stats: teacache.Stats) -> int:
    """Denoiser calls."""
    return sum(len(call.computed[0]) for call in stats.calls)


def test_a_schedule_reads_nothing_back(run: tuple[str, dict[str, Any]]) -> None:
    name, arguments = run
    reads, stats = count(name, teacache.ScheduleConfig(steps=(0, 1, 4, 8, 11)), **arguments)
    assert stats.skipped > 0
    assert reads == 0


def test_a_measured_schedule_reads_nothing_back(run: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    name, arguments = run
    calibration = calibrated(TINY[name].make(), branches=2 if "guided" in arguments else 0).save(tmp_path)
    config = teacache.ScheduleConfig(computed=len(COMPUTED), calibration=str(calibration))
    reads, stats = count(name, config, **arguments)
    assert steps_computed(stats) == {COMPUTED}
    assert reads == 0


def test_adaptive_reads_once_per_computed_step_at_most(run: tuple[str, dict[str, Any]]) -> None:
    name, arguments = run
    reads, stats = count(name, teacache.AdaptiveConfig(tolerance=0.5), **arguments)
    assert stats.skipped > 0
    assert 0 < reads <= computed_steps(stats)


def test_teacache_reads_once_per_step_at_most(run: tuple[str, dict[str, Any]]) -> None:
    """Less: not at the first step, nor at the last, which are computed whatever they show."""
    name, arguments = run
    reads, stats = count(name, SKIPPING, **arguments)
    assert 0 < reads <= all_steps(stats) - 2 * len(stats.calls)


def test_uncached_reads_nothing_back(run: tuple[str, dict[str, Any]]) -> None:
    name, arguments = run
    assert count(name, teacache.Uncached(), **arguments)[0] == 0


def test_a_transformer_alone_reads_its_timestep_back_as_well() -> None:
    """Nothing else tells where its run stands; 12 steps, so 12 reads. This also shows that the count can be wrong."""
    pipe = flux.make_pipeline()
    with teacache.enabled(pipe.transformer, teacache.ScheduleConfig(steps=(0, 1, 4, 8, 11))), Readbacks() as readbacks:
        flux.generate(pipe)
    assert readbacks.counts == {"tolist": 12}


def test_guidance_in_one_batch_is_seen_without_a_read_of_its_own() -> None:
    """The comparison of the two halves comes back with the first distances."""
    pipe = cogvideox.TINY["CogVideoXPipeline"].make()
    with teacache.enabled(pipe, SKIPPING) as cache, Readbacks() as readbacks:
        cogvideox.generate(pipe, seeds=(0, 1), guided=True)
    assert [call.batch_size for call in cache.stats.calls] == [2]
    assert readbacks.counts == {"tolist": 10}
