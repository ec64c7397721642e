"""The prompts: what a shard holds, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.errors import Refused, describe, refusing
from jobs.ids import SEED_BITS
from jobs.prompts.places import open_shard
from jobs.prompts.samples import sampled
from jobs.prompts.shards import COLUMNS, Shard
from jobs.storage import patient

_ROWS_AT_ONCE = 65_536
_ROWS_PER_PORTION = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One row group of a shard: what is read at a time."""

    shard: str
    row_group: int
    first_row: int
    num_rows: int
    samples: int = 1


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
    with open_shard(url, shard) as file:
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
