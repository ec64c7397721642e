"""How far a scheduler's result moves per unit of change in the denoiser's output, step by step."""

from __future__ import annotations

import copy
import inspect
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

_SHAPE = (1, 4, 8, 8)
_KNOWN: dict[str, tuple[float, ...]] = {}


def sensitivities(scheduler: Any) -> tuple[float, ...]:
    """|d x_next / d output| at each of the scheduler's timesteps, over their mean.

    Works on copies, after `set_timesteps`, wherever the run is. A scheduler whose step is linear in the denoiser's
    output tells it by three calls with constant outputs 0, 1 and 2. For one that is not linear, or whose `step` takes
    other arguments than (output, timestep, sample) or CogVideoXDPMScheduler's, the result is empty: all steps weigh the
    same. For Euler flow matching the values are the sigma differences, for DDIM a coefficient that grows towards the
    last steps. The last few schedules are remembered, as this takes as long as some steps of a small model.
    """
    scheduler = _afresh(scheduler)
    state = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in vars(scheduler).items()}
    key = f"{type(scheduler)} {state}"
    known = _KNOWN.get(key)
    if known is None:
        for oldest in list(_KNOWN)[:-15]:
            _KNOWN.pop(oldest, None)  # another thread may have been here
        known = _KNOWN[key] = _probe(scheduler)
    return known


def _probe(scheduler: Any) -> tuple[float, ...]:
    sample = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0))
    moves: list[float] = []
    try:
        steps = _Steps(scheduler)
        for timestep in scheduler.timesteps:
            probes = [copy.deepcopy(steps) for _ in range(3)]
            zero, one, two = (probe.step(torch.full_like(sample, output), timestep, sample)
                              for output, probe in enumerate(probes))  # fmt: skip
            if not torch.allclose(two - one, one - zero, rtol=1e-2, atol=1e-5):
                return ()
            moves.append((one - zero).abs().mean().item())
            steps = probes[0]
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return ()  # its step wants something that only its own pipeline can give
    mean = sum(moves) / len(moves) if moves else 0.0
    return tuple(move / mean for move in moves) if mean > 0 else ()


def result_gains(scheduler: Any) -> tuple[float, ...]:
    """d x_end / d output for the output of each of the scheduler's timesteps.

    Works on copies, after `set_timesteps`, wherever the run is. Whole runs are done without outputs, with a single one
    of 1 at each step, and of 2; the result is empty for a scheduler that is not linear in its outputs, or whose `step`
    takes other arguments than (output, timestep, sample).
    """
    try:
        zero, one, two = (_end(_afresh(scheduler), impulse) for impulse in (0.0, 1.0, 2.0))
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return ()
    if not torch.allclose(two - one, one - zero, rtol=1e-2, atol=1e-5):
        return ()
    gains: list[float] = (one - zero).flatten(1).mean(1).tolist()
    return tuple(gains)


def _end(scheduler: Any, impulse: float) -> Tensor:
    """Where runs end, the one in row number i with an output at step i only: (steps, *_SHAPE)."""
    count, steps = len(scheduler.timesteps), _Steps(scheduler)
    sample = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0)).repeat(count, 1, 1, 1)
    for step, timestep in enumerate(scheduler.timesteps):
        output = torch.zeros_like(sample)
        output[step] = impulse
        sample = steps.step(output, timestep, sample)
    return sample


class _Steps:
    """A scheduler's steps as its pipelines take them, with the same noise each time where it adds some."""

    def __init__(self, scheduler: Any) -> None:
        _begin(scheduler)
        self._scheduler = scheduler
        parameters = inspect.signature(scheduler.step).parameters
        self._takes_generator = "generator" in parameters
        self._takes_last = "old_pred_original_sample" in parameters
        self._last: tuple[Any, Any] = (None, None)
        """CogVideoXDPMScheduler's prediction and timestep of the step before, which it leaves pipelines to remember."""

    def step(self, output: Tensor, timestep: Tensor, sample: Tensor) -> Tensor:
        # A generator of its own: other threads may be drawing from torch's.
        noise = {"generator": torch.Generator().manual_seed(0)} if self._takes_generator else {}
        arguments: tuple[Any, ...] = (output, timestep, sample)
        if self._takes_last:
            predicted, before = self._last
            arguments = (output, predicted, timestep, before, sample)
        results = self._scheduler.step(*arguments, return_dict=False, **noise)
        if self._takes_last:
            self._last = results[1], timestep
        moved: Tensor = results[0]
        return moved.float()


def _afresh(scheduler: Any) -> Any:
    """The scheduler as it was before its first step, its tensors on the CPU: nothing else is read from a device."""
    fresh = type(scheduler).from_config(scheduler.config)
    for name, value in _tables(scheduler).items():
        setattr(fresh, name, value.cpu())
    fresh.num_inference_steps = getattr(scheduler, "num_inference_steps", None)
    return fresh


def _begin(scheduler: Any) -> None:
    """Let a scheduler set what else it needs for a run (Heun's state, the single-step solver's orders), by its own
    `set_timesteps`; timesteps and sigmas stay as they are."""
    tables = _tables(scheduler)
    with suppress(TypeError, ValueError, RuntimeError, KeyError):  # it may want more than their number
        scheduler.set_timesteps(scheduler.num_inference_steps)
    vars(scheduler).update(tables)


def _tables(scheduler: Any) -> dict[str, Tensor]:
    """Timesteps, sigmas and the like; no samples of steps gone by."""
    return {name: value for name, value in vars(scheduler).items() if isinstance(value, Tensor) and value.ndim == 1}
