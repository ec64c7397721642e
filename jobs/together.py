"""What a process does that shares its pipeline with others, see ranks.py; where it is alone, nothing."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig

from jobs.errors import Failure
from teacache.cache import denoisers_of

Result = TypeVar("Result")


def join(rank: int, size: int, meeting: str, *, on_gpu: bool) -> None:
    """Meet the others. `meeting` is a file that does not exist yet, the same for all."""
    if on_gpu:
        torch.cuda.set_device(rank)
    else:
        # diffusers 0.42 divides by the number of accelerators, also where the CPU takes their place.
        torch.accelerator.device_count = lambda: 1
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=size)


def split(pipeline: Any) -> None:
    """Have each process compute a part of every sample's tokens, of which it may be one more or less than others."""
    if dist.is_initialized():
        parts = ContextParallelConfig(ulysses_degree=dist.get_world_size(), ulysses_anything=True)
        denoisers: list[Any] = list(denoisers_of(pipeline))
        for denoiser in denoisers:
            denoiser.enable_parallelism(config=parts)


def agreed(result: Result | Failure) -> Result | Failure:
    """The result, or the failure of any: one that goes on to another call meets the others in the wrong one.

    Where one fails in the middle of what the others still wait for, all wait here, until the batch's time is over.
    """
    if not dist.is_initialized():
        return result
    failures: list[Failure | None] = [None] * dist.get_world_size()
    dist.all_gather_object(failures, result if isinstance(result, Failure) else None)
    return next((failure for failure in failures if failure), result)
