"""What the driver knows of the prompts before a job starts: every value looked at once, sixteen bytes kept per row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.errors import Refused
from jobs.ids import digests, fingerprints
from jobs.prompts.reading import read_shard
from jobs.prompts.shards import Shard
from jobs.rows import strings

SHAPE = ("height", "width", "num_frames", "num_inference_steps")
"""The columns that tell how much work a row is."""

_THREADS = 4  # Enough to hide the latency of an object store behind the hashing.

Digests = NDArray[np.uint64]
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """All rows of a job's prompts."""

    shards: tuple[Shard, ...]
    """As found; those that turned out unreadable count as empty."""
    ids: Digests
    """A digest of each id, sorted."""
    fingerprints: Digests
    """What each row says, in the order of `ids`."""
    shapes: dict[Shape, int]
    """Rows per SHAPE, None where the job decides."""

    @property
    def duplicates(self) -> Digests:
        """The digests that more than one row has, once for each row too many."""
        return self.ids[1:][np.equal(self.ids[1:], self.ids[:-1])]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    shard: Shard
    ids: Digests
    fingerprints: Digests
    shapes: Counter[Shape]


def scan(url: str, shards: Sequence[Shard]) -> Scan:
    """Read all shards. One that can't be read comes back with its problem."""
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        parts = list(threads.map(lambda shard: _part(url, shard), shards))
    found, shapes = tuple(part.shard for part in parts), sum((part.shapes for part in parts), Counter())
    ids, prints = np.concatenate([part.ids for part in parts]), np.concatenate([part.fingerprints for part in parts])
    parts.clear()
    order = np.argsort(ids)
    ids = ids[order]
    prints = prints[order]
    return Scan(shards=found, ids=ids, fingerprints=prints, shapes=dict(shapes))


def check_duplicates(url: str, found: Scan) -> None:
    """Raises Refused if an id stands twice, naming one and its places."""
    if repeated := len(found.duplicates):
        row_id, places = first_repeated(url, found)
        raise Refused(f"prompts: {repeated} duplicate id(s), first {row_id!r} in {places}; ids must differ")


def first_repeated(url: str, found: Scan) -> tuple[str, str]:
    """One of the ids that stand twice, and where."""
    places: list[str] = []
    row_id = ""
    for shard in found.shards:
        for prompts in read_shard(url, shard):
            ids = strings(prompts["id"])
            for same in np.asarray(ids, dtype=object)[digests(ids) == found.duplicates[0]]:
                row_id, places = same, [*places, shard.name]
    return row_id, " and ".join(dict.fromkeys(places[:3]))


def _part(url: str, shard: Shard) -> _Part:
    # Filled as it is read: lists of parts of parts would hold each row twice.
    ids, prints = (np.empty(shard.num_rows, dtype=np.uint64) for _ in range(2))
    shapes: Counter[Shape] = Counter()
    row = 0
    try:
        for prompts in read_shard(url, shard) if not shard.problem else ():
            ids[row : row + len(prompts)] = digests(strings(prompts["id"]))
            prints[row : row + len(prompts)] = fingerprints(prompts)
            shapes.update(_shapes(prompts))
            row += len(prompts)
    except Refused as problem:
        shard, row, shapes = replace(shard, row_group_sizes=(), problem=str(problem)), 0, Counter()
    return _Part(shard=shard, ids=ids[:row], fingerprints=prints[:row], shapes=shapes)


def _shapes(prompts: pa.Table) -> dict[Shape, int]:
    present = [name for name in SHAPE if name in prompts.column_names]
    counts = prompts.select(present).append_column("rows", pa.array(np.ones(len(prompts), dtype=np.int64)))
    rows = counts.group_by(present).aggregate([("rows", "sum")]).to_pylist()
    return {tuple(row.get(name) for name in SHAPE): row["rows_sum"] for row in rows}
