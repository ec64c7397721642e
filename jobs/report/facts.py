"""What the report tells beyond sums: rows that stand out, failures by their error. One pass over the manifest."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from jobs.rows import strings

Order = Literal["ascending", "descending"]

COLUMNS = (
    *("id", "model", "prompt", "seed", "height", "width", "num_frames", "error", "seconds", "baseline_seconds"),
    *("psnr", "ssim", "uri", "baseline_uri", "media_type", "cache"),
)
"""The manifest columns that the facts are made of."""

ROWS_SHOWN = 5
PAIRS_HELD = 1_000
KINDS_HELD = 1_000

_VARYING = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


@dataclass(slots=True, kw_only=True)
class Facts:
    """One model's rows that stand out, each a mapping of manifest columns. Bounded, however long the manifest is."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the cache, as in the YAML, defaults included."""
    psnr: list[float] = field(default_factory=list)
    """Of all audited rows."""
    slowest: list[Mapping[str, Any]] = field(default_factory=list)
    worst: list[Mapping[str, Any]] = field(default_factory=list)
    """Lowest PSNR first."""
    paired: list[Mapping[str, Any]] = field(default_factory=list)
    """Rows whose uncached twin is kept, the first of them, lowest PSNR first."""
    failures: Counter[str] = field(default_factory=Counter)
    """How often each kind of error came; numbers are left out of its name."""
    examples: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """One failed row for each kind."""

    def add(self, rows: pa.Table) -> None:
        done = rows.filter(pc.equal(rows["error"], pa.scalar("")))
        self.settings = self.settings or json.loads(rows["cache"][0].as_py())
        self.psnr += [psnr for psnr in done["psnr"].to_pylist() if psnr is not None]
        self.slowest = _first(self.slowest, done, "seconds", "descending", ROWS_SHOWN)
        self.worst = _first(self.worst, done, "psnr", "ascending", ROWS_SHOWN)
        room = max(0, PAIRS_HELD - len(self.paired))
        twins = done.filter(pc.and_(pc.is_valid(done["baseline_uri"]), pc.is_valid(done["psnr"]))).slice(0, room)
        self.paired = sorted([*self.paired, *twins.to_pylist()], key=lambda row: row["psnr"])
        for row in _rows(rows.filter(pc.not_equal(rows["error"], pa.scalar("")))):
            kind = kind_of(row["error"])
            if kind not in self.failures and len(self.failures) >= KINDS_HELD:
                kind = "other errors"
            self.failures[kind] += 1
            self.examples.setdefault(kind, row)

    def pairs(self, count: int) -> list[Mapping[str, Any]]:
        """So many of the kept pairs, from the worst over the median to the best at even distances."""
        last = len(self.paired) - 1
        if last < count:
            return self.paired
        return [self.paired[round(index * last / (count - 1))] for index in range(count)]


def per_model(batches: Iterable[pa.RecordBatch]) -> dict[str, Facts]:
    facts: defaultdict[str, Facts] = defaultdict(Facts)
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        for model in strings(pc.unique(rows["model"])):
            facts[model].add(rows.filter(pc.equal(rows["model"], pa.scalar(model))))
    return dict(sorted(facts.items()))


def kind_of(error: str) -> str:
    """The error without its numbers: `asked for height 50` and `asked for height 66` are one kind."""
    return _VARYING.sub("#", error)[:300]


def find_rows(batches: Iterable[pa.RecordBatch], wanted: Callable[[Mapping[str, Any]], bool], count: int) -> list[Any]:
    """The first rows that are wanted."""
    return list(islice((row for batch in batches for row in batch.to_pylist() if wanted(row)), count))


def _first(held: list[Mapping[str, Any]], rows: pa.Table, column: str, order: Order, count: int) -> list[Any]:
    """The rows that come first by a column, among those held and the new ones; rows without a value never do."""
    known = rows.filter(pc.is_valid(rows[column]))
    found = known.sort_by([(column, order)]).slice(0, count).to_pylist()
    return sorted([*held, *found], key=lambda row: row[column], reverse=order == "descending")[:count]


def _rows(rows: pa.Table) -> Iterator[Mapping[str, Any]]:
    for batch in rows.to_batches():
        yield from batch.to_pylist()
