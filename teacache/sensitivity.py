"""How far a scheduler's result moves per unit of change in the denoiser's output, step by step."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

_SHAPE = (1, 4, 8, 8)
_KNOWN: dict[str, tuple[float, ...]] = {}


def sensitivities(scheduler: Any) -> tuple[float, ...]:
    """|d x_next / d output| at each of the scheduler's timesteps, over their mean.

    Works on copies, after `set_timesteps`, wherever the run is. A scheduler whose step is linear in the denoiser's
    output tells it by three calls with constant outputs 0, 1 and 2. For one that is not linear, or whose `step` takes
    other arguments than (output, timestep, sample), the result is empty: all steps weigh the same. For Euler flow
    matching the values are the sigma differences, for DDIM a coefficient that grows towards the last steps.
    The last few schedules are remembered, as this takes as long as some steps of a small model.
    """
    scheduler = _afresh(scheduler)
    state = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in vars(scheduler).items()}
    key = f"{type(scheduler)} {state}"
    if key not in _KNOWN:
        while len(_KNOWN) >= 16:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[key] = _probe(scheduler)
    return _KNOWN[key]


def _probe(scheduler: Any) -> tuple[float, ...]:
    sample = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0))
    moves: list[float] = []
    try:
        for timestep in scheduler.timesteps:
            probes = [copy.deepcopy(scheduler) for _ in range(3)]
            zero, one, two = (_step(probe, torch.full_like(sample, output), timestep, sample)
                              for output, probe in enumerate(probes))  # fmt: skip
            if not torch.allclose(two - one, one - zero, rtol=1e-2, atol=1e-5):
                return ()
            moves.append((one - zero).abs().mean().item())
            scheduler = probes[0]
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
    count = len(scheduler.timesteps)
    sample = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0)).repeat(count, 1, 1, 1)
    for step, timestep in enumerate(scheduler.timesteps):
        output = torch.zeros_like(sample)
        output[step] = impulse
        sample = _step(scheduler, output, timestep, sample)
    return sample


def _step(scheduler: Any, output: Tensor, timestep: Tensor, sample: Tensor) -> Tensor:
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(0)  # the same noise, where the scheduler adds some; torch.manual_seed seeds GPUs as well
    try:
        result: Tensor = scheduler.step(output, timestep, sample, return_dict=False)[0]
    finally:
        generator.set_state(before)
    return result.float()


def _afresh(scheduler: Any) -> Any:
    """The scheduler as it was before its first step, its tensors on the CPU: nothing else is read from a device."""
    fresh = type(scheduler).from_config(scheduler.config)
    for name, value in vars(scheduler).items():
        if isinstance(value, Tensor) and value.ndim == 1:  # timesteps and sigmas, no samples of steps gone by
            setattr(fresh, name, value.cpu())
    fresh.num_inference_steps = getattr(scheduler, "num_inference_steps", None)
    return fresh
