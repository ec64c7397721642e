"""What a process does that shares its pipeline with others, see ranks.py; where it is alone, nothing."""

from __future__ import annotations

import socket
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig

from jobs.errors import Failure
from teacache.cache import denoisers_of

Result = TypeVar("Result")

_HERE = "127.0.0.1"
_Store: Any = dist.TCPStore  # type: ignore[attr-defined]  # its stubs leave it out


def meeting() -> tuple[Any, int]:
    """Where the processes of this machine meet, and the port that the others find it at."""
    listener = socket.create_server((_HERE, 0))
    port: int = listener.getsockname()[1]
    store = _Store(_HERE, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())
    return store, port


def meet(port: int) -> Any:
    return _Store(_HERE, port, is_master=False, wait_for_workers=False)


def use_gpu(rank: int) -> None:
    torch.cuda.set_device(rank)


def join(pipeline: Any, rank: int, size: int, store: Any, *, on_gpu: bool) -> None:
    """Have each process compute a part of every sample's tokens, of which it may be one more or less than others."""
    if not on_gpu:
        # diffusers 0.42 divides by the number of accelerators, also where the CPU takes their place.
        torch.accelerator.device_count = lambda: 1
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=size)
    parts = ContextParallelConfig(ulysses_degree=size, ulysses_anything=True)
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
