"""The demo models by name: their recipes, and the trained pipelines that come with the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from jobs.demo import cogvideox, flux, lumina2, mochi
from jobs.demo.recipe import Recipe

HERE = Path(__file__).parent
RECIPES: dict[str, Callable[[], Recipe]] = {
    "flux": flux.recipe,
    "lumina2": lumina2.recipe,
    "cogvideox": cogvideox.recipe,
    "mochi": mochi.recipe,
}


def load(model: str, folder: Path | None = None) -> Any:
    """The trained pipeline of that name in single precision; from another folder than the packaged one on request."""
    pipe = DiffusionPipeline.from_pretrained(folder or HERE / model, dtype=torch.float32, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe
