"""A diffusers pipeline by name: what its call takes, checked before an actor starts, and loading it inside one."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import diffusers
import torch
from diffusers import DiffusionPipeline
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from safetensors import safe_open

import teacache
from jobs.config.job import Generation
from jobs.config.model import Model
from jobs.errors import Refused, refusing
from jobs.paths import packaged
from teacache.cache import denoisers_among

GIVEN = frozenset({"prompt", "generator", "output_type", "height", "width", "num_inference_steps"})
"""Arguments that every call here is given, so that a pipeline without one of them can't be used."""

_OPTIONAL = frozenset({"negative_prompt", "guidance_scale", "num_frames"})
# Tensors, pictures, callbacks, and second prompts, which would be the same for every row.
_NOT_IN_YAML = re.compile(r"embeds|image|latents|callback|^return_dict$|^num_videos_per_prompt$|^(negative_)?prompt_\d")
SPLIT = frozenset(
    {"Flux2Transformer2DModel", "FluxTransformer2DModel", "QwenImageTransformer2DModel", "WanTransformer3DModel"}
)
"""What diffusers' context parallelism was tried to split, under every cache: tests/teacache/test_ranks.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a pipeline's `__call__` takes."""

    pipeline: str
    defaults: dict[str, Any]
    types: dict[str, Any]

    @property
    def accepted(self) -> frozenset[str]:
        return frozenset(self.defaults)

    @property
    def makes_videos(self) -> bool:
        return "num_frames" in self.accepted

    @property
    def settable(self) -> list[str]:
        """What a job may set under `generation`."""
        given = {"prompt", "generator", "output_type"}
        return sorted(name for name in self.accepted - given if not _NOT_IN_YAML.search(name))


def check(model: Model, generation: Generation, columns: Iterable[str]) -> Call:
    """The model's call, once model, settings and the prompts' columns are known to fit it. Raises Refused."""
    call = describe_call(model)
    lacking = sorted(GIVEN - call.accepted)
    needed = sorted(name for name, default in call.defaults.items() if default is inspect.Parameter.empty)
    if lacking or set(needed) - GIVEN:
        missing = f"takes no {', '.join(lacking)}" if lacking else f"needs {', '.join(set(needed) - GIVEN)}"
        raise Refused(f"model {model.name}: {call.pipeline} can't make pictures from prompts alone: it {missing}")
    _check_arguments(model, generation, call)
    for column in sorted(_OPTIONAL & set(columns) - call.accepted):
        raise Refused(f"prompts: {call.pipeline} of model {model.name} takes no {column}; drop that column")
    check_cache(model)
    _check_weights(model)
    _check_loras(model)
    return call


def describe_call(model: Model) -> Call:
    """Read from the pipeline's index and class, without loading weights. Raises Refused."""
    kind = _pipeline_class(model)
    parameters = inspect.signature(kind.__call__).parameters.values()
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return Call(
        pipeline=kind.__name__,
        defaults={each.name: each.default for each in named if each.name != "self"},
        types=_types(kind),
    )


def _types(kind: type[Any]) -> dict[str, Any]:
    """None where they name what only a type checker imports: then values are not checked before the call."""
    try:
        return get_type_hints(kind.__call__)
    except (NameError, AttributeError, TypeError):
        return {}


def _check_arguments(model: Model, generation: Generation, call: Call) -> None:
    optional = {name for name in _OPTIONAL & generation.model_fields_set if getattr(generation, name) is not None}
    for name in sorted({*generation.extra, *optional}):
        if name not in call.settable:
            known = ", ".join(call.settable)
            raise Refused(f"generation.{name}: {call.pipeline} of model {model.name} takes no {name}; known: {known}")
    for name, value in generation.extra.items():
        try:
            TypeAdapter(call.types.get(name, Any)).validate_python(value)
        except PydanticSchemaGenerationError:
            raise Refused(f"generation.{name}: {call.types[name]} can't be given in a job file") from None
        except ValidationError as error:
            raise Refused(f"generation.{name}: {error.errors()[0]['msg']}, got {value!r}") from None


def check_cache(model: Model) -> None:
    """Turn the cache on for denoisers without weights, built from their configs alone. Raises Refused."""
    place = _place(model)
    with refusing(f"model {model.name}: can't read the denoiser's config"):
        index = DiffusionPipeline.load_config(place, revision=model.revision)
        names = denoisers_among(lambda name: (index.get(name) or [None])[0] == "diffusers")
        kinds = {name: getattr(diffusers, index[name][1]) for name in names}
        configs = {name: kinds[name].load_config(place, subfolder=name, revision=model.revision) for name in names}
    for name in names:
        with refusing(f"model {model.name}"):
            with torch.device("meta"):
                denoiser = kinds[name].from_config(configs[name])
            denoiser.register_to_config(_name_or_path=str(Path(place) / name))
            teacache.enable(denoiser, model.cache.config)
        if model.context_parallel > 1:
            _check_split(model, type(denoiser).__name__, denoiser.config.get("num_attention_heads", 1))


def _check_split(model: Model, denoiser: str, heads: int) -> None:
    """Every process takes a part of the tokens, and inside attention of the heads, all but the last one as many."""
    size = model.context_parallel
    if denoiser not in SPLIT:
        raise Refused(
            f"model {model.name}: context_parallel: splitting {denoiser} among processes was not tried with caches, or "
            "failed; device_map: balanced spreads it over the GPUs of its actor"
        )
    if (size - 1) * math.ceil(heads / size) >= heads:
        raise Refused(
            f"model {model.name}: context_parallel: {size} leaves a process without any of the {heads} attention heads "
            f"of {denoiser}; take a number that divides {heads}"
        )


def _check_weights(model: Model) -> None:
    """Open the header of each weights file of a local pipeline: it says how long the file must be."""
    place = Path(packaged(model.pipeline))
    if not place.is_dir():
        return
    index = DiffusionPipeline.load_config(place)
    for name in sorted(name for name, value in index.items() if isinstance(value, list)):
        if not _has_weights(place / name):
            continue
        files = sorted((place / name).glob("*.safetensors"))
        if not files:
            raise Refused(f"model {model.name}: {place / name} has no .safetensors file; fetch the model again")
        for file in files:
            with refusing(f"model {model.name}: {file} is no whole safetensors file"), safe_open(file, framework="pt"):
                pass


def _check_loras(model: Model) -> None:
    if model.lora and not hasattr(_pipeline_class(model), "load_lora_weights"):
        raise Refused(f"model {model.name}: lora: {_pipeline_class(model).__name__} takes none; leave it out")
    for lora in model.lora:
        place = Path(lora.weights)
        local = place.exists() or place.is_absolute() or lora.weights.startswith((".", "~")) or len(place.parts) != 2
        if not local:
            continue
        file = place / lora.weight_name if lora.weight_name and place.is_dir() else place
        files = sorted(file.glob("*.safetensors")) if file.is_dir() else [file]
        if not files or not all(each.is_file() and each.suffix == ".safetensors" for each in files):
            raise Refused(f"model {model.name}: lora: {file} is no .safetensors file, nor a folder that holds one")


def _has_weights(component: Path) -> bool:
    """Whether its config is that of a network; schedulers, tokenizers and processors name theirs otherwise."""
    with refusing(f"{component / 'config.json'}: not valid JSON"):
        config = json.loads((component / "config.json").read_text()) if (component / "config.json").is_file() else {}
    return isinstance(config, dict) and bool({"_class_name", "architectures"} & set(config))


def _place(model: Model) -> str:
    folder = packaged(model.pipeline)
    return folder if Path(folder).is_dir() else model.pipeline


def _pipeline_class(model: Model) -> type[Any]:
    _check_folder(model, Path(packaged(model.pipeline)))
    with refusing(f"model {model.name}: can't read {model.pipeline}"):
        index = DiffusionPipeline.load_config(_place(model), revision=model.revision)
    name = index.get("_class_name") if isinstance(index, dict) else None
    with refusing(f"model {model.name}: can't import pipeline class {name}"):
        kind: object = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, DiffusionPipeline)):
        raise Refused(f"model {model.name}: {model.pipeline} wants pipeline class {name}, which diffusers doesn't have")
    return kind


def _check_folder(model: Model, folder: Path) -> None:
    """Tell a folder that holds no pipeline from a hub id, without asking the hub."""
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise Refused(f"model {model.name}: {folder} is no pipeline folder: it has no model_index.json")
        if not any(folder.rglob("*.safetensors")):
            raise Refused(f"model {model.name}: {folder} has no .safetensors file, and no other weights are loaded")
    elif folder.exists() or folder.is_absolute() or model.pipeline.startswith((".", "~")) or len(folder.parts) != 2:
        raise Refused(f"model {model.name}: {model.pipeline} is neither a pipeline folder nor a hub id like owner/name")
