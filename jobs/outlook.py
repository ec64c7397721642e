"""What a job would do, told before it does it: rows by state, shapes, hours and cost, room on the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.table import Table

from jobs import cluster, preflight, storage
from jobs.accounting.estimate import Pace, paces
from jobs.config.job import Job
from jobs.errors import Refused
from jobs.evaluation.resolve import noted
from jobs.output import identity
from jobs.paths import Output
from jobs.preflight import Checked
from jobs.prompts.scan import SHAPE, Shape, check_duplicates
from jobs.work import Work, check_edited, to_do, works

_SHAPES_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A job as it stands."""

    job: Job
    num_rows: int
    num_shards: int
    skipped: tuple[str, ...]
    """Shards that can't be read, and why."""
    shapes: dict[Shape, int]
    """Rows of each shape, the job's own filled in."""
    states: tuple[Work, ...]
    paces: dict[str, Pace]
    """By model, for those of which earlier rows are known."""
    refusals: tuple[str, ...]
    """Why `generate` would refuse."""
    room: tuple[str, ...]
    """A sentence for each kind of actors that the models have."""

    def table(self) -> Table:
        """A line per model."""
        table = Table(
            title=f"{self.job.name}: {self.num_rows:,} rows in {self.num_shards} shards", title_justify="left"
        )
        unit = "GPU" if any(pace.gpu for pace in self.paces.values()) else "CPU"
        for heading in ("model", "done", "failed", "edited", "pending", f"{unit} hours", "hours to wait", "cost"):
            table.add_column(heading, justify="left" if heading == "model" else "right")
        for work in self.states:
            counts = (f"{len(ids):,}" for ids in (work.done, work.failed, work.edited, work.pending))
            table.add_row(work.model.name, *counts, *self._estimate(work))
        return table

    def _estimate(self, work: Work) -> tuple[str, str, str]:
        pace = self.paces.get(work.model.name)
        seconds = pace.seconds(self.shapes) if pace else None
        if pace is None or seconds is None:
            return "-", "-", "-"
        # What is pending is taken for the same mix of shapes as the whole.
        busy = seconds * len(to_do(work, retry_failed=False)) / max(1, self.num_rows) / 3600
        hours, price = busy * pace.resources, self.job.price_per_hour
        return (
            f"{hours:.3g}",
            f"{busy / self.job.actors_of(work.model).count:.3g}",
            "-" if price is None else f"{hours * price:,.2f}",
        )

    def lines(self) -> Iterator[str]:
        """What is not about one model."""
        yield f"output {storage.public(self.job.output)}"
        for shape, count in Counter(self.shapes).most_common(_SHAPES_SHOWN):
            values = (f"{name} {value}" for name, value in zip(SHAPE, shape, strict=True) if value is not None)
            yield f"shape {', '.join(values)}: {count:,} rows"
        if len(self.shapes) > _SHAPES_SHOWN:
            yield f"and {len(self.shapes) - _SHAPES_SHOWN:,} more shapes"
        if not self.paces:
            yield "hours and cost: no earlier rows to estimate from; name another job's output with --earlier"
        for model in self.job.each_model:
            if model.cache.target:
                yield f"model {model.name}: its setting for {model.cache.target} is found before the run"
        yield from (f"skipped: {problem}" for problem in self.skipped)
        yield from self.room
        yield from (f"would be refused: {reason}" for reason in self.refusals)


def outlook(job: Job, *, earlier: str | None) -> Outlook:
    """Look at prompts, models, output and cluster, and leave them as they are. Raises Refused."""
    ready = preflight.checked(job)
    ready = replace(ready, job=noted(ready.job))
    states = works(ready)
    known = Output(url=storage.absolute(earlier) if earlier else ready.job.output)
    return Outlook(
        job=ready.job,
        num_rows=len(ready.scan.ids),
        num_shards=len(ready.scan.shards),
        skipped=tuple(shard.problem for shard in ready.scan.shards if shard.problem),
        shapes=_filled(ready),
        states=tuple(states),
        paces=paces(known),
        refusals=tuple(_refusals(ready, states)),
        room=cluster.room([job.actors_of(model) for model in job.each_model]),
    )


def _refusals(ready: Checked, states: list[Work]) -> Iterator[str]:
    for check in (
        lambda: check_duplicates(ready.job.prompts, ready.scan),
        lambda: identity.check(ready.job),
        lambda: check_edited(ready, states),
    ):
        try:
            check()
        except Refused as refused:
            yield str(refused)


def _filled(ready: Checked) -> dict[Shape, int]:
    settings = ready.job.generation.model_dump()
    filled: Counter[Shape] = Counter()
    for shape, count in ready.scan.shapes.items():
        named = zip(SHAPE, shape, strict=True)
        filled[tuple(settings.get(name) if value is None else value for name, value in named)] += count
    return dict(filled)
