"""A tiny pipeline for every pipeline class that teacache's records name; one file per family."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from tests.teacache.tiny.base import Tiny as Tiny

MODULES: tuple[ModuleType, ...] = tuple(import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
FAMILIES = tuple(module for module in MODULES if hasattr(module, "TINY"))

TINY: Mapping[str, Tiny] = {name: tiny for family in FAMILIES for name, tiny in family.TINY.items()}
"""By the pipeline's class name."""
