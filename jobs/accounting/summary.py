"""What a job and this run of it came to: as JSON beside the manifest, and as a table on the terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from jobs.accounting.audit import decibels
from jobs.accounting.intervals import Interval, of_median
from jobs.accounting.statistics import Statistics, fidelity
from jobs.config.job import Alarm
from jobs.progress import Tally

VERSION = 2
"""Of stats.json and stats.parquet. Grows when a figure changes its name or meaning, not when one is added."""

_TEXTS, _COUNTS = ("unit", "first_created_at", "last_created_at"), ("done", "failed", "audited", "steps", "computed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the whole output holds by now (`models`), and what this run added to it."""

    job: str
    models: dict[str, Statistics]
    runs: dict[str, Tally]
    price_per_hour: float | None
    alarm: Alarm = field(default_factory=Alarm)
    earlier: Mapping[str, Any] = field(default_factory=dict)
    """By model, the figures of the latest run that had rows of it to do, where this one had none."""

    @property
    def failed(self) -> int:
        return sum(model.failed for model in self.models.values())

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": VERSION,
                "job": self.job,
                "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "price_per_hour": self.price_per_hour,
                "alarm": self.alarm.model_dump(exclude_none=True),
                "models": {name: self.figures(name) for name in self.models},
            },
            indent=2,
            allow_nan=False,
        )

    def to_parquet(self) -> bytes:
        """The same figures, a row per model: `psnr: {median: ...}` is column `psnr_median`. Lists stay in the JSON."""
        shared = {"version": VERSION, "job": self.job}
        rows = [{**shared, "model": name, **_flat(self.figures(name))} for name in self.models]
        names = ("version", "job", "model", *_flat(self._figures(Statistics(), Tally())))
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, _type(name)) for name in names])), buffer)
        return buffer.getvalue()

    def figures(self, name: str) -> dict[str, Any]:
        """What is known of one model, as in stats.json; None is not measured, never zero.

        A PSNR of 100 stands for identical pictures; those that differ have at most 99.9. `hours_saved` and `saved` are
        None, too, where they can't be told from none.
        """
        figures = self._figures(self.models[name], self.runs.get(name, Tally()))
        return figures if name in self.runs else {**figures, "run": self.earlier.get(name, figures["run"])}

    def _figures(self, model: Statistics, run: Tally) -> dict[str, Any]:
        return {
            "done": model.done,
            "failed": model.failed,
            "failure_rate": model.failure_rate,
            "failure_rate_interval": _bounds(model.failure_rate_interval),
            "audited": model.audited,
            "pictures_per_second": model.pictures_per_second,
            "steps": model.steps,
            "computed": model.computed,
            "computed_share": model.computed_share,
            "rows_by_step": model.rows_by_step,
            "computed_by_step": model.computed_by_step,
            "seconds": model.seconds,
            "num_bytes": model.num_bytes,
            "speedup": model.speedup,
            "speedup_interval": _bounds(model.speedup_interval),
            "psnr": _fidelity(model.psnr),
            "ssim": _fidelity(model.ssim),
            "first_created_at": _time(model.first_created_at),
            "last_created_at": _time(model.last_created_at),
            "unit": model.unit,
            "hours": model.hours,
            "hours_saved": model.hours_saved,
            "audit_hours": model.audit_hours,
            "cost": self._money(model.hours),
            "saved": self._money(model.hours_saved),
            "audit_cost": self._money(model.audit_hours),
            "run": {
                "done": run.done,
                "failed": run.failed,
                "seconds": run.seconds,
                "first_seconds": run.first_seconds,
                "rows_per_second": run.rows_per_second,
            },
        }

    def _money(self, hours: float | None) -> float | None:
        return None if hours is None or self.price_per_hour is None else hours * self.price_per_hour

    def table(self) -> Table:
        """One column per model."""
        table = Table(title=self.job, title_justify="left", show_header=len(self.models) > 1)
        table.add_column("")
        for name in self.models:
            table.add_column(name, justify="right")
        columns = [self._lines(name) for name in self.models]
        for label in dict.fromkeys(label for column in columns for label in column):
            table.add_row(label, *(column.get(label, "") for column in columns))
        if len(self.models) == 1:
            table.title = f"{self.job}: {next(iter(self.models))}"
        return table

    def _lines(self, name: str) -> dict[str, str]:
        model, run = self.models[name], self.runs.get(name, Tally())
        unit = model.unit.upper()
        lines = {
            "rows done": f"{model.done:,}",
            "rows failed": f"{model.failed:,}",
            "pictures per second of a busy actor": _number(model.pictures_per_second, ".3g"),
            "rows per second of this run": _number(run.rows_per_second, ".3g"),
            "steps computed of total": f"{model.computed:,} of {model.steps:,}{_share(model.computed_share)}",
            "speed-up, measured": _speedup(model),
            "PSNR to uncached, median and worst": _both(fidelity(model.psnr), decibels),
            "SSIM to uncached, median and worst": _both(fidelity(model.ssim), "{:.3f}".format),
            f"{unit} hours spent": f"{model.hours:.4g} + {model.audit_hours:.4g} for the audit",
            f"{unit} hours saved": saving(model.speedup, model.hours_saved, "{:.4g}".format),
        }
        if self.price_per_hour is not None:
            lines["money spent"] = _number(self._money(model.hours + model.audit_hours), ",.2f")
            lines["money saved"] = saving(model.speedup, self._money(model.hours_saved), "{:,.2f}".format)
        return lines


def saving(speedup: float | None, saved: float | None, shown: Callable[[float], str]) -> str:
    """Hours or money saved, in words where the measurement can't tell them from none."""
    if speedup is None:
        return "-"
    return "not distinguishable from none" if saved is None else shown(saved)


def _bounds(interval: Interval | None) -> dict[str, float | None]:
    return {"low": interval.low if interval else None, "high": interval.high if interval else None}


def _fidelity(values: tuple[float, ...]) -> dict[str, float | None]:
    middle, worst = fidelity(values) or (None, None)
    return {"median": middle, "worst": worst, **_bounds(of_median(values))}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}_"))
        elif not isinstance(value, tuple):
            flat[prefix + name] = value
    return flat


def _type(name: str) -> pa.DataType:
    """Of a column, whatever its values: files of many nights can be read as one table."""
    if name in ("job", "model", *_TEXTS):
        return pa.string()
    return pa.int64() if name.removeprefix("run_") in ("version", "num_bytes", *_COUNTS) else pa.float64()


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _share(value: float | None) -> str:
    return "" if value is None else f" ({value:.0%})"


def _speedup(model: Statistics) -> str:
    if model.speedup is None:
        return "- (no row audited)"
    interval = model.speedup_interval
    bounds = f" [{interval.low:.2f}, {interval.high:.2f}]" if interval else ""
    return f"{model.speedup:.2f}x{bounds} on {model.audited:,} rows"


def _both(values: tuple[float, float] | None, shown: Callable[[float], str]) -> str:
    return "-" if values is None else " and ".join(map(shown, dict.fromkeys(values)))
