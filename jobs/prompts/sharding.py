"""Prompts as people have them (text, CSV, JSON lines, Parquet) to shards with ids, a bounded number at a time."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs import storage
from jobs.errors import Refused, describe, redact, refusing
from jobs.ids import contains, digests
from jobs.prompts.plan import Digests
from jobs.prompts.shards import COLUMNS

Record = Mapping[str, Any]

KINDS = {".txt": "txt", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_ROWS_AT_ONCE = 65_536


@dataclass(slots=True, kw_only=True)
class Sharded:
    """What became of the input."""

    rows: int = 0
    shards: int = 0
    duplicates: int = 0
    first_duplicate: str = ""
    empty: int = 0
    """Rows without a prompt."""
    left_out: set[str] = field(default_factory=set)
    """Columns that no shard takes."""


def shard_prompts(source: str, target: str, column: str = "prompt", shard_size: int = 10_000) -> Sharded:
    """Write `prompts-00000.parquet`, ... into the folder `target`; what a row says in COLUMNS comes along.

    A row that brings no id gets one from its content, so that the same prompt has the same id in every order and
    every night; rows of equal content are one. Memory: one shard, and 8 bytes for every row.

    Raises Refused for input that can't be read, an id that stands twice, or a target that holds shards already;
    what was written by then is removed.
    """
    _check_target(target)
    told, written = Sharded(), []
    rows = _distinct(_rows(source, column, told), told)
    try:
        while shard := list(islice(rows, shard_size)):
            url = storage.join(target, f"prompts-{told.shards:05}.parquet")
            with refusing(f"can't write {target}"):
                storage.write(url, _parquet(shard))
            written.append(url)
            told.rows, told.shards = told.rows + len(shard), told.shards + 1
        if not told.rows:
            raise Refused(f"{redact(source)} holds no prompts")
    except BaseException:
        for url in written:
            fs, path = storage.open_url(url)
            fs.rm_file(path)
        raise
    return told


def _check_target(target: str) -> None:
    with refusing(f"can't write {target}"):
        fs, path = storage.open_url(target)
        if fs.exists(path) and not fs.isdir(path):
            raise Refused(f"{redact(target)} is a file; give a folder")
        there = fs.glob(f"{path}/*.parquet")
    if there:
        raise Refused(f"{redact(target)} holds {len(there)} Parquet file(s) already; give another folder")


def _rows(source: str, column: str, told: Sharded) -> Iterator[dict[str, Any]]:
    """Rows with exactly COLUMNS, those without a prompt left out; `id` still None where there is none."""
    for place in _files(source):
        for number, record in _records(place, column, told):
            told.left_out.update(record.keys() - COLUMNS.keys() - {column})
            row = {name: _value(record.get(name), kind, place, number) for name, kind in COLUMNS.items()}
            row["prompt"] = _value(record.get(column), COLUMNS["prompt"], place, number)
            if row["prompt"]:
                yield row
            else:
                told.empty += 1


def _files(source: str) -> list[str]:
    with refusing(f"can't list {source}"):
        fs, path = storage.open_url(source)
        if fs.isdir(path):
            found = sorted(each for each in fs.find(path) if _kind(each))
        elif any(mark in path for mark in "*?["):
            found = sorted(fs.glob(path))
        else:
            found = [path] if fs.exists(path) else []
    if not found:
        raise Refused(f"{redact(source)}: no file there; give one of {', '.join(KINDS)}, a folder or a glob")
    return [str(fs.unstrip_protocol(each)) for each in found]


def _kind(path: str) -> str | None:
    for suffix in _COMPRESSED:
        path = path.removesuffix(suffix)
    return next((kind for suffix, kind in KINDS.items() if path.lower().endswith(suffix)), None)


def _records(place: str, column: str, told: Sharded) -> Iterator[tuple[int, Record]]:
    """Numbered from 1, as lines or rows of their file."""
    kind = _kind(place)
    if kind is None:
        raise Refused(f"{redact(place)}: what is it? its name should end with one of {', '.join(KINDS)}")
    with refusing(f"can't read {place}"):
        if kind == "parquet":
            yield from _parquet_records(place, column, told)
            return
        with fsspec.open(place, "rt", encoding="utf-8-sig", newline="", compression="infer") as file:
            yield from _text_records(file, kind, place, column)


def _text_records(file: Iterable[str], kind: str, place: str, column: str) -> Iterator[tuple[int, Record]]:
    if kind == "txt":
        yield from ((number, {column: line.strip("\r\n")}) for number, line in enumerate(file, 1) if line.strip())
        return
    if kind == "jsonl":
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _json(line, place, number)
        return
    reader = csv.DictReader(file, delimiter="\t" if kind == "tsv" else ",", strict=True, restkey="(more)")
    _check_column(column, reader.fieldnames or [], place)
    yield from ((reader.line_num, record) for record in reader)


def _parquet_records(place: str, column: str, told: Sharded) -> Iterator[tuple[int, Record]]:
    with fsspec.open(place, "rb") as file:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        _check_column(column, names, place)
        number = 0
        wanted = [name for name in names if name in COLUMNS or name == column]
        told.left_out.update(set(names) - set(wanted))
        for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=wanted):
            for record in batch.to_pylist():
                number += 1
                yield number, record


def _json(line: str, place: str, number: int) -> Record:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise Refused(f"{redact(place)}: line {number} is no JSON: {describe(error)}") from None
    if not isinstance(record, dict):
        raise Refused(f"{redact(place)}: line {number} is no JSON object but {type(record).__name__}")
    return record


def _check_column(column: str, names: Iterable[str], place: str) -> None:
    if column not in names:
        raise Refused(f"{redact(place)} has no column {column}, only {', '.join(names) or 'none'}; name it by --column")


def _value(value: Any, kind: pa.DataType, place: str, number: int) -> Any:
    """As the column's type; an empty CSV cell is none."""
    if value is None or value == "":
        return None
    try:
        if pa.types.is_string(kind):
            if not isinstance(value, str | int):
                raise ValueError(f"{type(value).__name__} is no text")
            # Half a surrogate pair, which JSON can spell, is no text that a file could hold.
            return str(value).encode().decode()
        made = float(value)
        if pa.types.is_integer(kind) and not made.is_integer():
            raise ValueError(f"{value!r} is no whole number")
        return int(value if isinstance(value, int) else made) if pa.types.is_integer(kind) else made
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused(f"{redact(place)}: row {number}: {describe(error)}") from None


def _distinct(rows: Iterator[dict[str, Any]], told: Sharded) -> Iterator[dict[str, Any]]:
    """Rows with ids, none of them twice."""
    seen: Digests = np.empty(0, np.uint64)
    while chunk := list(islice(rows, _ROWS_AT_ONCE)):
        given = [row["id"] is not None for row in chunk]
        for row in chunk:
            row["id"] = row["id"] or _id_for(row)
        found = digests(row["id"] for row in chunk)
        first = np.zeros(len(chunk), np.bool_)
        first[np.unique(found, return_index=True)[1]] = True
        fresh = first & ~contains(seen, found)
        for row, is_fresh, is_given in zip(chunk, fresh, given, strict=True):
            if is_fresh:
                yield row
            elif is_given:
                raise Refused(f"id {row['id']!r} stands twice; ids must differ, or leave the column out")
            else:
                told.duplicates += 1
                told.first_duplicate = told.first_duplicate or row["prompt"]
        seen = np.union1d(seen, found)


def _id_for(row: Record) -> str:
    """16 hexadecimal digits of all that the row says."""
    content = json.dumps([row[name] for name in COLUMNS if name != "id"], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    names = [name for name in COLUMNS if any(row[name] is not None for row in rows)]
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(rows, pa.schema([(name, COLUMNS[name]) for name in names]))
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
