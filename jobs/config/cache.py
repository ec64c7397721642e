"""The `cache` of a model in a job: a method and its settings, as YAML has them."""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from jobs.config.targets import DIALS, Target


class Cache(BaseModel):
    """How block computations are cached: a method, then the fields of that method's own config in `teacache`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: Literal["teacache", "adaptive", "schedule", "none"] = Field(
        default="teacache",
        description="teacache, adaptive, schedule or none; then its own fields, such as cache.rel_l1_thresh",
    )
    target: Target | None = Field(
        default=None, description="have the cheapest setting found that is so near to uncached, of all methods or one"
    )

    @model_validator(mode="after")
    def _fields_belong_to_method(self) -> Cache:
        known = cache_fields(self.method)
        if self.target and (self.method == "none" or DIALS & set(self.model_extra or {})):
            found = sorted(DIALS & set(self.model_extra or {})) or ["method: none"]
            raise ValueError(f"{', '.join(found)} can't stand beside target, which finds the setting; leave it out")
        unknown = sorted(set(self.model_extra or {}) - set(known))
        if unknown:
            raise ValueError(f"unknown {_keys(unknown)} for method {self.method}; known: {', '.join(known) or 'none'}")
        _ = self.config
        return self

    @cached_property
    def config(self) -> Any:
        """The frozen dataclass that `teacache.enable` takes: no cache while a target's setting is to be found.

        Raises ValueError for a value it refuses.
        """
        dial = {"computed": 2} if self.target and self.method == "schedule" else {}
        found = TypeAdapter(cache_class(self.method)).validate_python({**(self.model_extra or {}), **dial})
        return cache_class("none")() if self.target else found

    def __getstate__(self) -> dict[Any, Any]:
        """Without the config, which is made anew where it is asked for: to read it imports torch and diffusers."""
        state = super().__getstate__()
        return {**state, "__dict__": {name: value for name, value in state["__dict__"].items() if name != "config"}}

    def to_json(self) -> str:
        """Method and all settings, defaults included, as they stand in the manifest."""
        if self.target:
            return self.model_dump_json(exclude_unset=True, exclude_none=True)
        settings = {name: getattr(self.config, name) for name in cache_fields(self.method)}
        return json.dumps({"method": self.method, **settings}, sort_keys=True)


def cache_fields(method: str) -> list[str]:
    """The fields that a method takes in YAML: those of its config, but for callbacks, which only Python can give."""
    return [field.name for field in dataclasses.fields(cache_class(method)) if not field.name.endswith("_callback")]


def cache_class(method: str) -> type[Any]:
    # Imported where it is needed: teacache imports torch and diffusers, which --help can do without.
    import teacache

    classes: dict[str, type[Any]] = {
        "teacache": teacache.TeaCacheConfig,
        "adaptive": teacache.AdaptiveConfig,
        "schedule": teacache.ScheduleConfig,
        "none": teacache.Uncached,
    }
    return classes[method]


def _keys(names: list[str]) -> str:
    return f"key{'s' if len(names) > 1 else ''} {', '.join(names)}"
