"""The prompt shards: found, and their footers checked before any actor starts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from jobs.errors import Refused, redact, refusing
from jobs.prompts.places import list_files, place_of

COLUMNS: dict[str, Any] = {
    "id": pa.string(),
    "prompt": pa.string(),
    "negative_prompt": pa.string(),
    "seed": pa.int64(),
    "height": pa.int64(),
    "width": pa.int64(),
    "num_frames": pa.int64(),
    "num_inference_steps": pa.int64(),
    "guidance_scale": pa.float64(),
}
"""What a shard may hold; only `prompt` must be there, other columns are left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One Parquet file of prompts, as its footer describes it."""

    name: str
    """Path below the folder that all shards share; with the row's number it makes the id of a row without one."""
    columns: tuple[str, ...] = ()
    row_group_sizes: tuple[int, ...] = ()
    samples: int = 1
    """Rows that each of its rows stands for."""
    problem: str = ""
    """Why it can't be read; then it counts as empty."""

    @property
    def num_rows(self) -> int:
        return sum(self.row_group_sizes) * self.samples


def find_shards(url: str, *, samples: int = 1, skip_unreadable: bool = False) -> tuple[Shard, ...]:
    """The shards of a file, folder or glob, by name, their footers checked.

    Raises Refused, also for a shard that can't be read, unless those are to be skipped.
    """
    with refusing(f"prompts: can't list {url}"):
        place = place_of(url)
        paths = list_files(place)
    if not paths:
        raise Refused(f"prompts: no Parquet file at {redact(url)}; give a file, a folder of .parquet files or a glob")
    with ThreadPoolExecutor(max_workers=16) as threads:
        shards = tuple(threads.map(lambda path: _shard(place.fs, path, place.name_of(path)), paths))
    check_readable(shards, skip_unreadable=skip_unreadable)
    shards = tuple(replace(shard, samples=samples) for shard in shards)
    if not any(shard.num_rows for shard in shards):
        raise Refused(f"prompts: {redact(url)} holds no rows")
    return shards


def check_readable(shards: Sequence[Shard], *, skip_unreadable: bool) -> None:
    """Raises Refused, naming the first shard that can't be read, unless those are to be skipped."""
    problems = [shard.problem for shard in shards if shard.problem]
    if problems and not skip_unreadable:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Refused(f"{problems[0]}{more}; mend it, or go on without it by --skip_unreadable_shards true")


def _shard(fs: AbstractFileSystem, path: str, name: str) -> Shard:
    try:
        with refusing(f"prompts: {name} is not a readable Parquet file"), fs.open(path, "rb") as file:
            parquet = pq.ParquetFile(file)
            columns = tuple(column for column in COLUMNS if column in parquet.schema_arrow.names)
            groups = parquet.metadata
            sizes = tuple(groups.row_group(index).num_rows for index in range(groups.num_row_groups))
        _check_columns(name, parquet.schema_arrow)
    except Refused as problem:
        return Shard(name=name, problem=str(problem))
    return Shard(name=name, columns=columns, row_group_sizes=sizes)


def _check_columns(name: str, schema: pa.Schema) -> None:
    for column in COLUMNS:
        if schema.names.count(column) > 1:
            raise Refused(f"prompts: {name} has {schema.names.count(column)} columns {column}; rename or drop one")
    if "prompt" not in schema.names:
        raise Refused(f"prompts: {name} has no column prompt, only {', '.join(schema.names) or 'none'}; rename one")
    for column, wanted in COLUMNS.items():
        if column in schema.names and not _fits(schema.field(column).type, wanted, column):
            raise Refused(f"prompts: column {column} of {name} is {schema.field(column).type}, {wanted} is needed")


def _fits(found: pa.DataType, wanted: pa.DataType, column: str) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    text = pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found)
    number = pa.types.is_integer(found) or pa.types.is_floating(found)
    if pa.types.is_null(found):
        return column not in ("id", "prompt")
    if pa.types.is_string(wanted):
        return text or (column == "id" and pa.types.is_integer(found))
    # Integers with gaps leave pandas as floats.
    return number
