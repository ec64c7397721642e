"""The prompt shards: found, checked before any actor starts, and read piece by piece."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

from jobs.errors import Refused, describe, redact, refusing
from jobs.ids import SEED_BITS
from jobs.paths import packaged
from jobs.samples import sampled
from jobs.storage import open_url, patient

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

_ROWS_AT_ONCE = 65_536
_ROWS_PER_PORTION = 16_384


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One row group of a shard: what is read at a time."""

    shard: str
    row_group: int
    first_row: int
    num_rows: int
    samples: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the prompts are, apart from what may be secret: `?signature` is part of http URLs only."""

    fs: AbstractFileSystem
    path: str
    query: str

    @property
    def is_glob(self) -> bool:
        return any(mark in self.path for mark in "*?[")

    @property
    def is_folder(self) -> bool:
        return bool(self.fs.isdir(self.path + self.query))

    def without_query(self, path: str) -> str:
        return path.partition("?")[0] if "http" in self.fs.protocol else path


def find_shards(url: str, *, samples: int = 1, skip_unreadable: bool = False) -> tuple[Shard, ...]:
    """The shards of a file, folder or glob, by name, their footers checked.

    Raises Refused, also for a shard that can't be read, unless those are to be skipped.
    """
    with refusing(f"prompts: can't list {url}"):
        fs, paths = _list(url)
    if not paths:
        raise Refused(f"prompts: no Parquet file at {redact(url)}; give a file, a folder of .parquet files or a glob")
    place = _place(url)
    folder = _folder(place)
    with ThreadPoolExecutor(max_workers=16) as threads:
        shards = tuple(
            threads.map(lambda path: _shard(fs, path, posixpath.relpath(place.without_query(path), folder)), paths)
        )
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


def pieces(shards: Sequence[Shard]) -> Iterator[Piece]:
    for shard in shards:
        first_row = 0
        for row_group, size in enumerate(shard.row_group_sizes):
            yield Piece(
                shard=shard.name, row_group=row_group, first_row=first_row, num_rows=size, samples=shard.samples
            )
            first_row += size


def portions(shards: Sequence[Shard]) -> list[list[Piece]]:
    """Pieces in lists of some 16,000 rows: what one planning task takes, however small the row groups are."""
    found: list[list[Piece]] = []
    room = 0
    for piece in pieces(shards):
        if room <= 0:
            found.append([])
            room = _ROWS_PER_PORTION
        found[-1].append(piece)
        room -= piece.num_rows * piece.samples
    return found


def read_piece(url: str, piece: Piece) -> Iterator[pa.Table]:
    """The piece's prompts with exactly COLUMNS: missing ones null, ids filled in. Goes on where storage failed."""
    row = piece.first_row
    for attempt in patient():
        with attempt:
            for prompts in _read(url, piece.shard, piece.first_row, [piece.row_group]):
                if prompts.first_row >= row:
                    yield sampled(prompts.rows, piece.samples)
                    row = prompts.first_row + prompts.rows.num_rows


def read_shard(url: str, shard: Shard) -> Iterator[pa.Table]:
    """As read_piece, for all of a shard, each value looked at. Raises Refused."""
    with refusing(f"prompts: can't read {shard.name}"):
        for prompts in _read(url, shard.name, 0, range(len(shard.row_group_sizes))):
            prompts.rows.validate(full=True)
            _check_values(prompts.rows, shard.name)
            yield sampled(prompts.rows, shard.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    first_row: int
    rows: pa.Table


def _read(url: str, shard: str, row: int, row_groups: Sequence[int]) -> Iterator[_Rows]:
    with _open_shard(url, shard) as file:
        parquet = pq.ParquetFile(file)
        present = [name for name in COLUMNS if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=list(row_groups), columns=present):
            yield _Rows(first_row=row, rows=_complete(pa.Table.from_batches([batch]), shard, row))
            row += batch.num_rows


def _check_values(prompts: pa.Table, shard: str) -> None:
    if missing := prompts["id"].null_count:
        raise Refused(f"prompts: {shard} has {missing} row(s) without an id; fill in or drop id")
    # Of a larger seed torch would use the last 32 bits only: two seeds could give the same noise unseen.
    for seed in (pc.min(prompts["seed"]).as_py(), pc.max(prompts["seed"]).as_py()):
        if seed is not None and not 0 <= seed < 2**SEED_BITS:
            raise Refused(f"prompts: seed {seed} in {shard} is not between 0 and {2**SEED_BITS - 1}")


def _complete(prompts: pa.Table, shard: str, first_row: int) -> pa.Table:
    columns = {
        name: _cast(prompts, name, shard) if name in prompts.column_names else pa.nulls(prompts.num_rows, kind)
        for name, kind in COLUMNS.items()
    }
    if "id" not in prompts.column_names:
        columns["id"] = pa.array(_row_numbers(shard, first_row, prompts.num_rows), pa.string())
    return pa.table(columns)


def _cast(prompts: pa.Table, column: str, shard: str) -> pa.ChunkedArray[Any]:
    try:
        return prompts[column].cast(COLUMNS[column])
    except pa.ArrowInvalid as error:
        raise Refused(f"prompts: column {column} of {shard}: {describe(error)}") from None


def _row_numbers(shard: str, first_row: int, count: int) -> list[str]:
    return [f"{shard}#{row}" for row in range(first_row, first_row + count)]


def would_read(url: str, path: str) -> bool:
    """Whether a Parquet file at this absolute path or URL would be taken for a shard of these prompts."""
    place = _place(url)
    fs, other = open_url(path)
    if fs.protocol != place.fs.protocol:
        return False
    if place.is_glob:
        return re.match(glob_translate(place.path), other) is not None
    folder = f"{place.path.rstrip('/')}/"
    return place.is_folder and other.startswith(folder) and not _hidden(other.removeprefix(folder))


def _place(url: str) -> _Place:
    fs, path = open_url(packaged(url))
    if "http" not in fs.protocol:
        return _Place(fs=fs, path=path, query="")
    path, mark, query = path.partition("?")
    return _Place(fs=fs, path=path, query=mark + query)


def _list(url: str) -> tuple[AbstractFileSystem, list[str]]:
    place = _place(url)
    fs = place.fs
    if place.is_glob:
        return fs, sorted(found for found in fs.glob(place.path) if fs.isfile(found))
    if place.is_folder:
        found = [path for path in fs.find(place.path + place.query) if place.without_query(path).endswith(".parquet")]
        return fs, sorted(path for path in found if not _hidden(posixpath.relpath(path, place.path)))
    if not fs.exists(place.path + place.query):
        raise FileNotFoundError("there is nothing of that name")
    return fs, [place.path + place.query]


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _folder(place: _Place) -> str:
    """The folder that shard names start from: the folder itself, a file's, or the one before a glob's first star."""
    if place.is_glob:
        before = place.path[: min(place.path.index(mark) for mark in "*?[" if mark in place.path)]
        return before.rpartition("/")[0]
    return place.path if place.is_folder else posixpath.dirname(place.path)


def _open_shard(url: str, name: str) -> Any:
    place = _place(url)
    return place.fs.open(posixpath.join(_folder(place), name) + place.query, "rb")


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
