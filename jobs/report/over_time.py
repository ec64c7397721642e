"""Nightly runs for people: tables on the terminal, dots on a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs import storage
from jobs.errors import refusing
from jobs.nights.history import METRICS, Metric, NightlyRun, changes, models
from jobs.nights.noise import Change
from jobs.report import page, plots
from jobs.report.text import visible

NIGHTS_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One metric of one model from night to night."""

    label: str
    sentence: str
    verdict: str
    """good, bad or nothing: how the latest figure is to be coloured."""
    plot: plots.Dots | None


def show(runs: Sequence[NightlyRun], rung: Sequence[str], folder: str, to: str | None, console: Console) -> None:
    """Tables, what changed, the page's place if it is to be written, and what rang, on the terminal."""
    for part in told(runs):
        console.print(part)
    lines = {f"page: {written(runs, rung, folder, to)}": ""} if to else {}
    lines.update({f"alarm: {sentence}": "bold red" for sentence in rung})
    for line, style in lines.items():
        console.print(line, style=style, markup=False, soft_wrap=True, highlight=False)


def told(runs: Sequence[NightlyRun]) -> Iterator[Table | str]:
    """For each model a table of the latest runs, then what the last one changed."""
    for model in models(runs):
        # Within 80 columns: only the folder's name may be folded.
        table = Table(title=Text(visible(model)), title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
        table.add_column("run", overflow="fold")
        table.add_column("made (UTC)", no_wrap=True)
        for heading in ("done", "failed", *("\n".join(metric.label.rsplit(" ", 1)) for metric in METRICS)):
            table.add_column(heading, justify="right", no_wrap=True)
        for night in runs[-NIGHTS_SHOWN:]:
            figures = night.figures(model)
            if figures is None:
                continue
            measured = ((metric, metric.of(figures)) for metric in METRICS)
            counts = (f"{figures['done']:,}", f"{figures['failed']:,}")
            table.add_row(
                Text(visible(night.place)),
                page.moment(night.at),
                *counts,
                *(page.measured(each.value if each else None, metric.unit) for metric, each in measured),
            )
        yield table
        for metric, found in _changes(runs, model):
            yield f"  {metric.label}: {_sentence(found, metric)}"


def written(runs: Sequence[NightlyRun], rung: Sequence[str], folder: str, to: str) -> str:
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


def _courses(runs: Sequence[NightlyRun], model: str) -> list[Course]:
    return [
        Course(
            label=metric.label,
            sentence=_sentence(found, metric),
            verdict=_colour(metric, found),
            plot=_plot(runs[-NIGHTS_SHOWN:], model, metric, marked=_colour(metric, found) == "bad"),
        )
        for metric, found in _changes(runs, model)
    ]


def _changes(runs: Sequence[NightlyRun], model: str) -> list[tuple[Metric, Change]]:
    found = changes(runs, model)
    return [(metric, found[metric.name]) for metric in METRICS]


def _plot(runs: Sequence[NightlyRun], model: str, metric: Metric, *, marked: bool) -> plots.Dots | None:
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


def _sentence(found: Change, metric: Metric) -> str:
    if found.verdict in ("higher", "lower"):
        return f"{found.verdict} than usual ({page.measured(found.usual, metric.unit)}), beyond noise"
    return found.verdict


def _colour(metric: Metric, found: Change) -> str:
    if found.verdict not in ("higher", "lower"):
        return ""
    return "good" if (found.verdict == "higher") == metric.rising_is_good else "bad"
