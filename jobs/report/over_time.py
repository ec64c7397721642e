"""Nightly runs for people: tables on the terminal, dots on a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from jobs import storage
from jobs.errors import refusing
from jobs.history import METRICS, Metric, Night, changes, models
from jobs.noise import Change
from jobs.report import page, plots

NIGHTS_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One metric of one model from night to night."""

    label: str
    sentence: str
    verdict: str
    """good, bad or nothing: how the latest figure is to be coloured."""
    plot: plots.Dots | None


def told(runs: Sequence[Night]) -> Iterator[Table | str]:
    """For each model a table of the latest runs, then what the last one changed."""
    for model in models(runs):
        table = Table(title=model, title_justify="left")
        for heading in ("made (UTC)", "run"):
            table.add_column(heading)
        for heading in ("done", "failed", *(metric.label for metric in METRICS)):
            table.add_column(heading, justify="right")
        for night in runs[-NIGHTS_SHOWN:]:
            figures = night.figures(model)
            if figures is None:
                continue
            measured = (metric.of(figures) for metric in METRICS)
            counts = (f"{figures['done']:,}", f"{figures['failed']:,}")
            table.add_row(
                page.moment(night.at),
                night.place,
                *counts,
                *(page.number(each.value if each else None) for each in measured),
            )
        yield table
        for metric, found in _changes(runs, model):
            yield f"  {metric.label}: {_sentence(found)}"


def written(runs: Sequence[Night], rung: Sequence[str], folder: str, to: str) -> str:
    """The same as a page. Gives its public URL."""
    html = page.render(
        "history.html",
        place=storage.public(folder),
        latest=runs[-1],
        count=len(runs),
        alarms=rung,
        models={model: _courses(runs, model) for model in models(runs)},
    )
    with refusing(f"can't write {to}"):
        storage.write(storage.absolute(to), html.encode())
        return storage.public(to)


def _courses(runs: Sequence[Night], model: str) -> list[Course]:
    return [
        Course(
            label=metric.label,
            sentence=_sentence(found),
            verdict=_colour(metric, found),
            plot=_plot(runs[-NIGHTS_SHOWN:], model, metric, marked=_colour(metric, found) == "bad"),
        )
        for metric, found in _changes(runs, model)
    ]


def _changes(runs: Sequence[Night], model: str) -> list[tuple[Metric, Change]]:
    found = changes(runs, model)
    return [(metric, found[metric.name]) for metric in METRICS]


def _plot(runs: Sequence[Night], model: str, metric: Metric, *, marked: bool) -> plots.Dots | None:
    known = [(night, figures) for night in runs if (figures := night.figures(model)) is not None]
    measured = [(night, figure) for night, figures in known if (figure := metric.of(figures)) is not None]
    return plots.dots(
        [
            plots.Dot(
                label=page.moment(night.at)[5:10],
                value=figure.value,
                low=figure.interval.low if figure.interval else None,
                high=figure.interval.high if figure.interval else None,
                marked=marked and night is runs[-1],
            )
            for night, figure in measured
        ]
    )


def _sentence(found: Change) -> str:
    if found.verdict in ("higher", "lower"):
        return f"{found.verdict} than usual ({page.number(found.usual)}), beyond noise"
    return found.verdict


def _colour(metric: Metric, found: Change) -> str:
    if found.verdict not in ("higher", "lower"):
        return ""
    return "good" if (found.verdict == "higher") == metric.rising_is_good else "bad"
