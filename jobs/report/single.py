"""The report of one output, all its models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs import storage
from jobs.accounting.audit import IDENTICAL, decibels
from jobs.config.job import Alarm
from jobs.nights.alarm import breaches
from jobs.output import manifest
from jobs.paths import Output
from jobs.report import facts, page, plots
from jobs.report.facts import Facts
from jobs.report.pictures import LIMIT, LONGEST_SIDE, Album, Embedded

PAIRS_SHOWN = 8
FAILURES_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pictures of one row, or of one prompt, under a slider."""

    left: Embedded
    right: Embedded
    left_name: str
    right_name: str
    note: str
    prompt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One kind of error: how often, and one row that shows it."""

    count: int
    error: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the page says of one model."""

    name: str
    figures: Mapping[str, Any]
    """As in stats.json."""
    facts: Facts
    pairs: list[Pair]
    left_out: int

    @property
    def skipped(self) -> float | None:
        share: float | None = self.figures["computed_share"]
        return None if share is None else 1 - share

    @property
    def speedup_note(self) -> str:
        interval = self.figures["speedup_interval"]
        rows = f"on {self.figures['audited']:,} rows"
        if self.figures["speedup"] is None:
            return "no row audited"
        return rows if interval["low"] is None else f"{interval['low']:.2f} to {interval['high']:.2f}, {rows}"

    @property
    def settings(self) -> str:
        """`teacache: rel_l1_thresh 0.2, order 0`."""
        cache = dict(self.facts.settings)
        method = cache.pop("method", "")
        return f"{method}: {', '.join(f'{name} {value}' for name, value in cache.items() if value is not None)}"

    @property
    def heat(self) -> list[float]:
        return plots.heat(self.figures["rows_by_step"], self.figures["computed_by_step"])

    @property
    def histogram(self) -> plots.Histogram | None:
        return plots.histogram([psnr for psnr in self.facts.psnr if psnr < IDENTICAL])

    @property
    def num_identical(self) -> int:
        return sum(psnr >= IDENTICAL for psnr in self.facts.psnr)

    @property
    def num_pairs(self) -> int:
        return len(self.facts.paired)

    @property
    def scaled(self) -> bool:
        return any(max(pair.left.width, pair.left.height) > LONGEST_SIDE for pair in self.pairs)

    @property
    def failures(self) -> list[Failed]:
        common = self.facts.failures.most_common(FAILURES_SHOWN)
        examples = self.facts.examples
        return [Failed(count=count, error=examples[kind]["error"], id=examples[kind]["id"]) for kind, count in common]


def write_report(output: Output, stats: Mapping[str, Any]) -> str:
    """Write `report.html` below the output, from the manifest and its statistics as in stats.json. Gives its URL."""
    storage.write(output.report, report(output, stats).encode())
    return storage.public(output.report)


def report(output: Output, stats: Mapping[str, Any]) -> str:
    known = facts.per_model(manifest.read_batches(output, facts.COLUMNS))
    room = LIMIT // max(1, len(stats["models"]))
    sections = [
        _section(name, figures, known.get(name, Facts()), Album(output, room))
        for name, figures in stats["models"].items()
    ]
    alarm = Alarm.model_validate(stats["alarm"])
    return page.render(
        "report.html",
        job=stats["job"],
        place=storage.public(output.url),
        stats=stats,
        sections=sections,
        unit=next((each.figures["unit"] for each in sections), "").upper(),
        breaches=[(each.name, sentence) for each in sections for sentence in breaches(alarm, each.figures)],
        longest_side=LONGEST_SIDE,
        limit=LIMIT,
    )


def _section(name: str, figures: Mapping[str, Any], known: Facts, album: Album) -> Section:
    pairs = [pair for row in known.pairs(PAIRS_SHOWN) if (pair := _pair(row, album))]
    # Through JSON once, so that a page made at the end of a job is the page made of its stats.json.
    return Section(
        name=name, figures=json.loads(json.dumps(figures)), facts=known, pairs=pairs, left_out=album.left_out
    )


def _pair(row: Mapping[str, Any], album: Album) -> Pair | None:
    left = album.embed(row, "baseline_uri")
    right = left and album.embed(row)
    if not left or not right:
        return None
    return Pair(
        left=left,
        right=right,
        left_name="uncached",
        right_name="cached",
        note=decibels(row["psnr"]),
        prompt=row["prompt"],
    )
