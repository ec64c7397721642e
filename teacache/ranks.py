"""The processes among which diffusers' context parallelism splits a denoiser's tokens."""

from __future__ import annotations

from typing import Any

from torch import nn


def ranks_of(denoiser: nn.Module) -> Any:
    """Their process group; None where every token is in this process.

    Each has its own part of every sample, and all must skip the same steps, or one waits for the others for ever: what
    is measured is summed over them.
    """
    config = getattr(getattr(denoiser, "_parallel_config", None), "context_parallel_config", None)
    return None if config is None else config._flattened_mesh.get_group()
