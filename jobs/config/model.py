"""A model: which pipeline, and how it is loaded and cached."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from jobs.config.cache import Cache
from jobs.config.section import Name, Section, Text


class Lora(Section):
    """Weights that adapt a model, in safetensors."""

    weights: Text = Field(description="hub id, folder or .safetensors file")
    weight_name: str | None = Field(default=None, description="file, where there are several")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    scale: float = Field(default=1.0, description="how strongly it counts")
    fuse: bool = Field(default=False, description="add it to the model's weights: faster, rounded to their dtype")


class Model(Section):
    """Which diffusers pipeline makes the pictures, and how it is loaded."""

    pipeline: Text = Field(description="hub id, folder, or demo/flux for the packaged one")
    name: Name = Field(
        default_factory=lambda data: _plain_name(data.get("pipeline", "")),
        description="its name in manifest, statistics and media paths; the pipeline's last part if not given",
    )
    dtype: Literal["bfloat16", "float16", "float32"] = Field(default="bfloat16", description="of the weights")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    variant: str | None = Field(default=None, description="weights variant, such as fp16")
    trust_remote_code: bool = Field(default=False, description="run Python code that comes with the model")
    cache: Cache = Field(default_factory=lambda: Cache(), description="method, then that method's own fields")
    lora: tuple[Lora, ...] = Field(default=(), description="a list of {weights, weight_name, revision, scale, fuse}")
    offload: Literal["model", "sequential", "group"] | None = Field(
        default=None,
        description="keep weights off the GPU: by whole models, by layers, or by layers ahead of their use",
    )
    device_map: Literal["balanced"] | None = Field(default=None, description="balanced: over all GPUs of the actor")
    context_parallel: int = Field(
        default=1, gt=0, description="GPUs of the actor, and processes, among which each sample's tokens are split"
    )
    actors: dict[str, Any] = Field(default_factory=dict, description="what differs from the job's actors")

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Model:
        spread = "context_parallel" if self.context_parallel > 1 else ""
        given = [name for name in (self.offload and "offload", self.device_map and "device_map", spread) if name]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; leave one out")
        return self


def _plain_name(pipeline: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", pipeline.rstrip("/").rsplit("/", 1)[-1]).strip("-._") or "model"
