"""What tells one checkpoint of a class from another, and where its calibration may lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from diffusers import DiffusionPipeline, ModularPipeline
from torch import nn

from teacache.models import Model

Pipeline: TypeAlias = DiffusionPipeline | ModularPipeline
"""Of either kind that diffusers has."""

Target: TypeAlias = Pipeline | nn.Module
"""What a cache is turned on for: a pipeline, or a transformer alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One denoiser, as far as its recipe and calibration depend on it."""

    transformer: str
    """The class, as the registry calls it."""
    config: Mapping[str, Any]
    pipeline: str = ""
    """The pipeline's class; "" for a transformer alone."""
    modular: bool = False
    """Whether the pipeline is a modular one."""
    attribute: str = "transformer"
    """Of the pipeline, that holds it."""
    denoisers: int = 1
    scheduler: Mapping[str, Any] | None = None
    """Its class and config; None for a transformer alone."""
    folders: tuple[Path, ...] = ()
    """Where it was loaded from, to look for a calibration."""

    @property
    def calibrating(self) -> str:
        """What calibrates it. Jobs run no modular pipelines, and most of those want more than a prompt."""
        others, job = (", **its_other_inputs", "") if self.modular else ("", ", or python -m jobs calibrate job.yaml")
        return f"teacache.calibrate(pipe, prompts, num_inference_steps=28{others}).save(folder of the model){job}"


def checkpoint_of(target: Target, denoiser: nn.Module, model: Model | None, *,
                  attribute: str = "transformer", denoisers: int = 1) -> Checkpoint:  # fmt: skip
    """The checkpoint of a denoiser of a pipeline, or of a transformer alone."""
    config = cast(Mapping[str, Any], getattr(denoiser, "config", {}))
    loaded_from = config.get("_name_or_path")
    folders = [Path(loaded_from), Path(loaded_from).parent] if loaded_from else []
    pipe = None if isinstance(target, nn.Module) else target
    for name in ("name_or_path", "_pretrained_model_name_or_path"):  # the second is a modular pipeline's
        if getattr(pipe, name, None):
            folders.append(Path(getattr(pipe, name)))
    scheduler = getattr(pipe, "scheduler", None)
    return Checkpoint(
        transformer=type(denoiser).__name__ if model is None else model.transformer,
        config=config,
        pipeline="" if pipe is None else type(pipe).__name__,
        modular=isinstance(pipe, ModularPipeline),
        attribute=attribute,
        denoisers=denoisers,
        scheduler=None if scheduler is None else described(scheduler),
        folders=tuple(folders),
    )


def described(configured: Any) -> dict[str, Any]:
    """Class and config of a scheduler or denoiser, as JSON takes them."""
    return {"class": type(configured).__name__, **plain(configured.config)}


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The public part of a diffusers config, as JSON takes it."""
    public = {key: value for key, value in config.items() if not key.startswith("_")}
    copied: dict[str, Any] = json.loads(json.dumps(public, default=str))
    return copied
