"""How far a model's rows are: a bar in a terminal, a plain line every ten seconds in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from jobs.rows import Written

SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a run has written so far, and how long that took."""

    done: int = 0
    failed: int = 0
    steps: int = 0
    computed: int = 0
    seconds: float = 0.0
    """Until the last batch was written."""
    first_rows: int = 0
    """Rows of the first batch, and those salvaged."""
    first_seconds: float = 0.0
    """Until the first batch left its actor: start-up and that batch."""
    salvaged: int = 0

    @property
    def rows(self) -> int:
        return self.done + self.failed

    @property
    def rows_per_second(self) -> float | None:
        """Since the first batch left its actor, so start-up apart. None before a second batch."""
        rows, seconds = self.rows - self.first_rows, self.seconds - self.first_seconds
        return rows / seconds if rows and seconds > 0 else None

    def add(self, written: Written, seconds: float) -> Tally:
        rows = written.done + written.failed
        first = self.rows == self.salvaged
        return Tally(
            done=self.done + written.done,
            failed=self.failed + written.failed,
            steps=self.steps + written.steps,
            computed=self.computed + written.computed,
            seconds=seconds,
            first_rows=self.first_rows + (rows if first or written.salvaged else 0),
            first_seconds=max(0.0, seconds - written.delay) if first else self.first_seconds,
            salvaged=self.salvaged + (rows if written.salvaged else 0),
        )

    def note(self, total: int) -> str:
        """`1 failed, 2.1 rows/s, 46% of steps skipped, 0:00:12 left`."""
        notes = [f"{self.failed:,} failed"]
        if self.rows_per_second:
            notes.append(f"{self.rows_per_second:.3g} rows/s")
        if self.steps:
            notes.append(f"{1 - self.computed / self.steps:.0%} of steps skipped")
        if self.rows_per_second:
            left = _time((total - self.rows) / self.rows_per_second)
            notes.append(f"{left} left" if self.rows < total else f"{_time(self.seconds)} in all")
        return ", ".join(notes)


def follow(batches: Iterable[Written], model: str, total: int, console: Console) -> Tally:
    """Show progress while the batches come in; gives what they add up to."""
    show = _bar if console.is_terminal else _lines
    return show(_tallies(batches), model, total, console)


def _tallies(batches: Iterable[Written]) -> Iterable[Tally]:
    start = time.monotonic()
    tally = Tally()
    for written in batches:
        tally = tally.add(written, time.monotonic() - start)
        yield tally


def _bar(tallies: Iterable[Tally], model: str, total: int, console: Console) -> Tally:
    """One line that stays when the model is done, so that several models stand below each other."""
    last = Tally()
    with Progress(*_columns(), console=console, expand=True) as progress:
        task = progress.add_task(model, total=total, tally=last, begun=time.monotonic())
        for last in tallies:
            progress.update(task, completed=last.rows, tally=last)
    return last


def _columns() -> list[ProgressColumn]:
    bar = BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8))
    return [
        SpinnerColumn(finished_text="[green]\u2713[/]"),
        TextColumn("{task.description}", markup=False, style="bold"),
        bar,
        *(_Figure(figure) for figure in (_rows, _rate, _skipped, _failures, _clock)),
    ]


class _Figure(ProgressColumn):
    """One figure, drawn anew ten times a second: a batch can take minutes, and the clock must not stand still."""

    def __init__(self, figure: Callable[[Task], Text]) -> None:
        self._figure = figure
        super().__init__(Column(no_wrap=True, justify="right"))

    def render(self, task: Task) -> Text:
        return self._figure(task)


def _rows(task: Task) -> Text:
    return Text(f"{task.completed:,.0f}/{task.total:,.0f}")


def _rate(task: Task) -> Text:
    rate = task.fields["tally"].rows_per_second
    return Text(f"{rate:.3g} rows/s" if rate else "", style="cyan")


def _skipped(task: Task) -> Text:
    tally = task.fields["tally"]
    return Text(f"{1 - tally.computed / tally.steps:.0%} skipped" if tally.steps else "", style="green")


def _failures(task: Task) -> Text:
    failed = task.fields["tally"].failed
    return Text(f"{failed:,} failed", style="bold red" if failed else "dim")


def _clock(task: Task) -> Text:
    """Time left, by the rate so far; time taken where that is not known, or all is done."""
    tally, elapsed = task.fields["tally"], time.monotonic() - task.fields["begun"]
    if task.finished:
        return Text(_time(tally.seconds))
    if not tally.rows_per_second:
        return Text(f"starting {_time(elapsed)}" if not tally.rows else _time(elapsed), style="dim")
    ends = tally.seconds + (task.total - tally.rows) / tally.rows_per_second
    return Text(f"{_time(max(0.0, ends - elapsed))} left")


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _lines(tallies: Iterable[Tally], model: str, total: int, console: Console) -> Tally:
    last = Tally()
    printed = -SECONDS_BETWEEN_LINES
    for last in tallies:
        if last.seconds - printed >= SECONDS_BETWEEN_LINES or last.rows >= total:
            printed = last.seconds
            console.print(
                f"{model}: {last.rows:,} of {total:,} rows, {last.note(total)}", highlight=False, soft_wrap=True
            )
    return last
