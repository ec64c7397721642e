"""The limits of a nightly batch: which of them a model's figures are beyond, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.config.job import Alarm


def breaches(alarm: Alarm, figures: Mapping[str, Any]) -> list[str]:
    """One sentence for each limit that the figures of a model, as in stats.json, are beyond.

    A figure that was not measured is beyond its limit: an alarm that nothing can ring is none. The rate of a run
    that had nothing to do is no such figure.
    """
    run = figures["run"]
    measured = {
        "min_speedup": figures["speedup"],
        "max_failure_rate": figures["failure_rate"],
        "min_psnr": (figures["psnr"] or {}).get("median"),
        "min_ssim": (figures["ssim"] or {}).get("median"),
        "min_rows_per_second": run["rows_per_second"],
    }
    if not run["done"] + run["failed"]:
        del measured["min_rows_per_second"]
    limits = {name: limit for name in measured if (limit := getattr(alarm, name)) is not None}
    return [sentence for name, limit in limits.items() if (sentence := _sentence(name, limit, measured[name]))]


def _sentence(name: str, limit: float, value: float | None) -> str | None:
    kind, _, figure = name.partition("_")
    if value is None:
        return f"{figure} was not measured, {name} is {limit:g}"
    if value < limit if kind == "min" else value > limit:
        return f"{figure} is {value:.4g}, {name} is {limit:g}"
    return None
