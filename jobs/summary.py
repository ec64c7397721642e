"""What a job and this run of it came to: as JSON beside the manifest, and as a table on the terminal."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from rich.table import Table

from jobs.progress import Tally
from jobs.statistics import Statistics, fidelity

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the whole output holds by now (`models`), and what this run added to it."""

    job: str
    models: dict[str, Statistics]
    runs: dict[str, Tally]
    price_per_hour: float | None

    @property
    def failed(self) -> int:
        return sum(model.failed for model in self.models.values())

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": VERSION,
                "job": self.job,
                "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "models": {name: self._figures(name) for name in self.models},
            },
            indent=2,
            allow_nan=False,
        )

    def _figures(self, name: str) -> dict[str, Any]:
        model, run = self.models[name], self.runs.get(name, Tally())
        psnr, ssim = fidelity(model.psnr), fidelity(model.ssim)
        return {
            "done": model.done,
            "failed": model.failed,
            "audited": model.audited,
            "pictures_per_second": model.pictures_per_second,
            "steps": model.steps,
            "computed": model.computed,
            "computed_share": model.computed_share,
            "seconds": model.seconds,
            "num_bytes": model.num_bytes,
            "speedup": model.speedup,
            "speedup_interval": model.speedup_interval and asdict(model.speedup_interval),
            "psnr": psnr and {"median": psnr[0], "worst": psnr[1]},
            "ssim": ssim and {"median": ssim[0], "worst": ssim[1]},
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
            "PSNR to uncached, median and worst": _pair(fidelity(model.psnr), ".1f", " dB"),
            "SSIM to uncached, median and worst": _pair(fidelity(model.ssim), ".3f", ""),
            f"{unit} hours spent": f"{model.hours:.4g} + {model.audit_hours:.4g} for the audit",
            f"{unit} hours saved": _number(model.hours_saved, ".4g"),
        }
        if self.price_per_hour is not None:
            lines["money spent"] = _number(self._money(model.hours + model.audit_hours), ",.2f")
            lines["money saved"] = _number(self._money(model.hours_saved), ",.2f")
        return lines


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


def _pair(values: tuple[float, float] | None, form: str, unit: str) -> str:
    return "-" if values is None else f"{values[0]:{form}} and {values[1]:{form}}{unit}"
