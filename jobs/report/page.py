"""Facts and figures to one HTML file: no script, font or picture comes from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jobs.accounting.audit import decibels
from jobs.accounting.summary import saving
from jobs.report.text import visible

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **context: Any) -> str:
    """A page of that template. Whatever is put into it is escaped."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    # For the page's own policy: this script may run, and nothing that a prompt brings along.
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template(template).render(script=Markup(script), script_hash=script_hash, **context)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible,
        number=number,
        percent=percent,
        moment=moment,
        duration=duration,
        money=money,
        decibels=decibels,
    )
    environment.globals.update(size=size, saving=saving, number=number, duration=duration, money=money)
    return environment


def number(value: float | None, form: str = ".3g") -> str:
    """A figure as a person reads it: 12,345 rather than 1.23e+04; a dash where none was measured."""
    if value is None:
        return "\u2013"
    if form == ".3g" and abs(value) >= 1000:
        form = ",.0f"
    return format(value, form)


def measured(value: float | None, unit: str = "") -> str:
    """A figure with its unit, as the report has it."""
    return decibels(value) if unit == "dB" else number(value)


def percent(value: float | None) -> str:
    if value is None:
        return "\u2013"
    return f"{value:.0%}" if value == 0 or value >= 0.1 else f"{value:.2%}"


def size(num_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.3g} TB"


def moment(text: str | None) -> str:
    """`2026-11-22 21:14` of an ISO time."""
    return "\u2013" if text is None else datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")


def duration(hours: float | None) -> str:
    """Hours where they are some, minutes or seconds where not."""
    if hours is None:
        return "\u2013"
    if hours >= 1:
        return f"{number(hours)} h"
    return f"{hours * 60:.3g} min" if hours >= 1 / 60 else f"{hours * 3600:.3g} s"


def money(value: float | None) -> str:
    """Cents where there are some, more digits below a cent: what a demo costs is not nothing."""
    if value is None:
        return "\u2013"
    return f"{value:,.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"
