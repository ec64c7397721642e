"""A file for each family of models: `MODELS`, a record for each transformer class, and `PUBLISHED`, its polynomials."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

FAMILIES: tuple[ModuleType, ...] = tuple(
    import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)
)
