"""The comparison as Markdown: a line per method, and whether what is wanted was reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tests.benchmarks.peers.frontier import Point, compute_at, psnr_at

COMPUTES = (1.5, 2.0, 3.0, 4.0, 5.0)
PSNRS = (40.0, 35.0)
RATIO, DECIBELS = 1.3, 6.0
"""Wanted: so many times the best peer's saving at equal PSNR, and so many dB above it at twofold saving."""

Rows = Sequence[Mapping[str, Any]]


def lines(rows: Rows, *, ours: bool) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for row in rows:
        if row["ours"] == ours and "error" not in row:
            found.setdefault(row["method"], []).append(Point(row["compute"], row["psnr"]))
    return found


def refusals(rows: Rows) -> dict[str, str]:
    """Of the methods that did not run: why."""
    ran = {row["method"] for row in rows if "error" not in row}
    return {row["method"]: row["error"] for row in rows if row["method"] not in ran}


def table(rows: Rows) -> str:
    heads = [f"dB at {compute:g}x" for compute in COMPUTES] + [f"saving at {psnr:g} dB" for psnr in PSNRS]
    text = [f"| method | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for ours in (True, False):
        for method, points in lines(rows, ours=ours).items():
            cells = [_cell(psnr_at(points, compute), "") for compute in COMPUTES]
            cells += [_cell(compute_at(points, psnr), "x", digits=2) for psnr in PSNRS]
            text.append(f"| {f'**{method}**' if ours else method} | {' | '.join(cells)} |")
    text += [f"| {method} | refuses: {error} |{' |' * (len(heads) - 1)}" for method, error in refusals(rows).items()]
    return "\n".join([*text, "", *verdicts(rows)])


def verdicts(rows: Rows) -> list[str]:
    found = []
    for psnr in PSNRS:
        us, them = (_best(lines(rows, ours=ours), partial(compute_at, psnr=psnr)) for ours in (True, False))
        found.append(f"- {psnr:g} dB: {us[0]} {us[1]:.2f}x, best peer {them[0]} {them[1]:.2f}x, "
                     f"ratio {us[1] / them[1]:.2f} (wanted {RATIO})")  # fmt: skip
    us, them = (_best(lines(rows, ours=ours), partial(psnr_at, compute=2.0)) for ours in (True, False))
    found.append(f"- 2x: {us[0]} {us[1]:.1f} dB, best peer {them[0]} {them[1]:.1f} dB, "
                 f"{us[1] - them[1]:+.1f} (wanted {DECIBELS:+g})")  # fmt: skip
    return found


def _best(methods: Mapping[str, list[Point]], value: Callable[[list[Point]], float | None]) -> tuple[str, float]:
    values = {method: found for method, points in methods.items() if (found := value(points)) is not None}
    return max(values.items(), key=lambda item: item[1], default=("none", float("nan")))


def _cell(value: float | None, unit: str, *, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"
