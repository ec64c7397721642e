"""A pipeline with its LoRAs and its cache, on the devices that the job wants it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

import teacache
from jobs.config.job import Actors
from jobs.config.model import Model
from jobs.errors import Refused
from jobs.paths import packaged


def load(model: Model, device: str) -> tuple[Any, teacache.Cache]:
    """The pipeline, silent, and its cache. Weights come from safetensors only."""
    pipeline = _placed(model, device)
    # Before the weights leave the device: what moves them then runs where a block is computed, not where it is skipped.
    cache = teacache.enable(pipeline, model.cache.config)
    _offload(pipeline, model, device)
    return pipeline, cache


def load_uncached(model: Model, device: str) -> Any:
    """The pipeline as `load` has it, but for the cache."""
    pipeline = _placed(model, device)
    _offload(pipeline, model, device)
    return pipeline


def _placed(model: Model, device: str) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(
        packaged(model.pipeline),
        revision=model.revision,
        variant=model.variant,
        dtype=getattr(torch, model.dtype),
        device_map=model.device_map,
        use_safetensors=True,
        trust_remote_code=model.trust_remote_code,
    )
    pipeline.set_progress_bar_config(disable=True)
    _add_loras(pipeline, model)
    if model.device_map is None and model.offload is None:
        pipeline.to(device)
    return pipeline


def check_devices(model: Model, actors: Actors) -> None:
    """Refuse what these actors, their GPUs settled, have not the devices for. Raises Refused."""
    there = actors.num_gpus or 0
    if model.offload and not there:
        raise Refused(
            f"model {model.name}: offload: {model.offload} keeps weights off a GPU, but actors have none; leave it out"
        )
    if model.device_map and there < 2:
        raise Refused(
            f"model {model.name}: device_map: {model.device_map} spreads a pipeline over the GPUs of its actor; "
            f"actors.num_gpus must be 2 or more, got {there:g}"
        )
    if model.context_parallel > 1 and there != model.context_parallel:
        raise Refused(
            f"model {model.name}: context_parallel: {model.context_parallel} takes as many GPUs of its actor; "
            f"actors.num_gpus must be {model.context_parallel}, got {there:g}"
        )


def _add_loras(pipeline: Any, model: Model) -> None:
    names = [f"lora_{number}" for number in range(len(model.lora))]
    for name, lora in zip(names, model.lora, strict=True):
        place, file = lora.weights, lora.weight_name
        if Path(place).is_file():
            place, file = str(Path(place).parent), Path(place).name
        pipeline.load_lora_weights(
            place, weight_name=file, revision=lora.revision, adapter_name=name, use_safetensors=True
        )
    if not names:
        return
    pipeline.set_adapters(names, [lora.scale for lora in model.lora])
    if fused := [name for name, lora in zip(names, model.lora, strict=True) if lora.fuse]:
        pipeline.fuse_lora(adapter_names=fused)
        if len(fused) == len(names):
            pipeline.unload_lora_weights()


def _offload(pipeline: Any, model: Model, device: str) -> None:
    if model.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif model.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    elif model.offload == "group":
        pipeline.enable_group_offload(
            onload_device=torch.device(device), offload_type="leaf_level", use_stream=device != "cpu"
        )
