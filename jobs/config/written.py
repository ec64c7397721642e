"""A job as it is written: as YAML with every default filled in, and the JSON Schema of that YAML for editors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter

from jobs.config.cache import Cache, cache_class, cache_fields
from jobs.config.job import Job
from jobs.config.targets import DIALS, Target


def written(job: Job) -> str:
    """YAML that loads as the same job, with nothing left to defaults."""
    fields = job.model_dump(mode="json")
    for model, dumped in zip(job.each_model, [fields["model"]] if job.model else fields["models"], strict=True):
        dumped["cache"] = _cache(model.cache)
    del fields["models" if job.model else "model"]
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120)


def job_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a job's YAML; what a pipeline alone knows, under `generation`, stays open."""
    schema = Job.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["oneOf"] = [{"required": ["model"]}, {"required": ["models"]}]
    methods = get_args(Cache.model_fields["method"].annotation)
    schema["$defs"]["Cache"] = {
        "description": Cache.__doc__,
        "oneOf": [*(_method_schema(method) for method in methods), _target_schema()],
    }
    # As it is read again: defaults that are tuples are lists there.
    read: dict[str, Any] = json.loads(json.dumps(schema))
    return read


def _cache(cache: Cache) -> Mapping[str, Any]:
    fields: dict[str, Any] = json.loads(cache.to_json())
    return {"method": fields.pop("method"), **fields} if "method" in fields else fields


def _method_schema(method: str) -> dict[str, Any]:
    kind = cache_class(method)
    hints, defaults = get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}
    properties: dict[str, Any] = {"method": {"const": method}}
    for name in cache_fields(method):
        field: TypeAdapter[Any] = TypeAdapter(hints[name])
        properties[name] = field.json_schema()
        if defaults[name].default is not dataclasses.MISSING:
            properties[name]["default"] = field.dump_python(defaults[name].default, mode="json")
    required = [name for name, field in defaults.items() if _is_required(field)]
    if method != Cache.model_fields["method"].default:
        required.append("method")
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _target_schema() -> dict[str, Any]:
    """A target, and what a method's settings have beside it."""
    methods = [method for method in get_args(Cache.model_fields["method"].annotation) if method != "none"]
    fields = {name: schema for method in methods for name, schema in _method_schema(method)["properties"].items()}
    properties = {name: schema for name, schema in fields.items() if name not in DIALS}
    properties.update(method={"enum": methods}, target=Target.model_json_schema())
    return {"type": "object", "properties": properties, "required": ["target"], "additionalProperties": False}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
