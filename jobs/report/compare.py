"""Two outputs side by side: what differs, whether that is beyond their own intervals, and the same rows' pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs import storage
from jobs.errors import Refused
from jobs.ids import fraction_for
from jobs.nights.history import METRICS, Metric
from jobs.nights.noise import Change, Figure, change
from jobs.output import manifest
from jobs.paths import Output
from jobs.report import facts, page
from jobs.report.pictures import Album
from jobs.report.single import PAIRS_SHOWN, Pair

_IDS_TRIED = 64
"""Of the first output's rows, so many are looked for in the other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One output, or one model of it: figures by model, as in stats.json."""

    output: Output
    models: Mapping[str, Mapping[str, Any]]
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure of both sides."""

    label: str
    first: str
    second: str
    difference: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A model of one side and the model of the other that it is compared with."""

    first: str
    second: str
    lines: list[Line]
    pairs: list[Pair]


def comparison(one: Side, other: Side) -> str:
    """The page. Raises Refused if the two have no model to compare."""
    names = _matches(one, other)
    matches = [
        Match(
            first=first,
            second=second,
            lines=_lines(one.models[first], other.models[second]),
            pairs=_pairs(one.output, first, other.output, second),
        )
        for first, second in names
    ]
    places = [storage.public(side.output.url) for side in (one, other)]
    return page.render("compare.html", matches=matches, jobs=(one.job, other.job), places=places)


def _matches(one: Side, other: Side) -> list[tuple[str, str]]:
    """Models of one name; where each side has one only, these, whatever their names."""
    if len(one.models) == len(other.models) == 1:
        return [(next(iter(one.models)), next(iter(other.models)))]
    shared = [(name, name) for name in one.models if name in other.models]
    if not shared:
        raise Refused(
            f"no model stands in both: {', '.join(one.models)} and {', '.join(other.models)}; pick two by OUTPUT#MODEL"
        )
    return shared


def _lines(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Line]:
    measured = [_measured(metric, metric.of(first), metric.of(second)) for metric in METRICS]
    counted = [
        _counted("rows done", first["done"], second["done"]),
        _counted("rows failed", first["failed"], second["failed"]),
        _counted("share of steps computed", first["computed_share"], second["computed_share"]),
        _counted("rows per second of a busy actor", first["pictures_per_second"], second["pictures_per_second"]),
        _counted(f"{first['unit'].upper()} hours", first["hours"], second["hours"]),
        _counted(f"{first['unit'].upper()} hours saved", first["hours_saved"], second["hours_saved"]),
        _counted("PSNR, worst", first["psnr"]["worst"], second["psnr"]["worst"], "dB"),
        _counted("SSIM, median", first["ssim"]["median"], second["ssim"]["median"]),
    ]
    return [*measured, *counted]


def _measured(metric: Metric, first: Figure | None, second: Figure | None) -> Line:
    values = (first.value if first else None, second.value if second else None)
    return _line(metric.label, *values, metric.unit, _sentence(change(second, [first] if first else [])))


def _counted(label: str, first: float | None, second: float | None, unit: str = "") -> Line:
    return _line(label, first, second, unit, "")


def _line(label: str, first: float | None, second: float | None, unit: str, verdict: str) -> Line:
    difference = "" if first is None or second is None else f"{second - first:+,.4g}"
    if first and second is not None and difference:
        difference += f" ({second / first - 1:+.1%})"
    return Line(
        label=label,
        first=page.measured(first, unit),
        second=page.measured(second, unit),
        difference=difference,
        verdict=verdict,
    )


def _sentence(found: Change) -> str:
    return {
        "as usual": "within the intervals",
        "higher": "higher, beyond the intervals",
        "lower": "lower, beyond the intervals",
        "not measured": "not measured",
        "too few runs to tell": "one run each: no interval to judge by",
    }[found.verdict]


def _pairs(output: Output, model: str, other: Output, other_model: str) -> list[Pair]:
    """Pictures of the same rows on both sides, chosen by hash of id."""
    ours = _rows(output, model, None)
    theirs = _rows(other, other_model, set(ours))
    album, second = Album(output), Album(other)
    pairs = []
    for row_id in sorted(theirs, key=lambda each: fraction_for("shown", each))[:PAIRS_SHOWN]:
        left, right = album.embed(ours[row_id]), second.embed(theirs[row_id])
        if left and right:
            pairs.append(
                Pair(
                    left=left,
                    right=right,
                    left_name="first",
                    right_name="second",
                    note=_seeds(ours[row_id], theirs[row_id]),
                    prompt=ours[row_id]["prompt"],
                )
            )
    return pairs


def _rows(output: Output, model: str, wanted: set[str] | None) -> dict[str, Mapping[str, Any]]:
    """Done rows by id: those wanted, or the few that come first by hash."""
    found: dict[str, Mapping[str, Any]] = {}
    for batch in manifest.read_batches(output, facts.COLUMNS):
        for row in batch.to_pylist():
            if row["model"] == model and row["uri"] and (wanted is None or row["id"] in wanted):
                found[row["id"]] = row
        if wanted is None and len(found) > _IDS_TRIED:
            first = sorted(found, key=lambda each: fraction_for("shown", each))[:_IDS_TRIED]
            found = {row_id: found[row_id] for row_id in first}
    return found


def _seeds(row: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return "same seed" if row["seed"] == other["seed"] else "other seeds"
