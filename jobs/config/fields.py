"""All fields of a job with their defaults, for `--help`: read from the config, so never out of date."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.table import Table

from jobs.config.job import SECTIONS, Job


def fields_table() -> Table:
    """Name, default and meaning of every field, as it is typed on the command line."""
    table = Table(title="Fields of a job, in YAML and as --FIELD VALUE", title_justify="left", box=None, padding=(0, 1))
    table.add_column("field", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("", overflow="fold")
    for name, field in _leaves(Job, ""):
        table.add_row(f"--{name}", _default(field), field.description or "")
    return table


def _leaves(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        inner = SECTIONS.get(name)
        if inner is None or name == "models":
            yield prefix + name, field
        else:
            yield from _leaves(inner, f"{prefix}{name}.")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default in (None, ()):
        return ""
    return str(field.default)
