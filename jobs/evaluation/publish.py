"""What an evaluation leaves below `evaluation/` in the output: rows, figures, plot, page, and the YAML to use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import yaml
from rich.console import Console

from jobs import storage
from jobs.config.job import Job
from jobs.errors import JobFailed
from jobs.evaluation import tables
from jobs.evaluation.evaluate import Tried
from jobs.evaluation.frontier import Point, frontier, points_of
from jobs.evaluation.plot import plot
from jobs.evaluation.recommend import Recommendation, cache_fragment, recommend
from jobs.evaluation.settings import FEWER_STEPS
from jobs.evaluation.trials import Trial
from jobs.output.manifest import write_rows
from jobs.paths import Output
from jobs.rows import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One model's result."""

    tried: Tried
    points: Sequence[Point]
    recommendation: Recommendation
    folder: str


def publish(tried: Tried, job: Job, console: Console, *, caches_only: bool = False) -> Published:
    """Write the model's files and tell the result. Raises JobFailed if every trial failed.

    `caches_only`: fewer steps are shown, but not recommended, where the job can't have them for this model alone.
    """
    target, points = tried.target, points_of(tried.settings, tried.trials)
    if not points:
        raise JobFailed(f"model {tried.model.name}: every trial failed; the first: {_first_error(tried.trials)}")
    settings = [each for each in tried.settings if not (caches_only and each.method == FEWER_STEPS)]
    found = recommend(settings, tried.trials, target)
    folder = Output(url=storage.absolute(job.output)).evaluation(tried.model.name)
    published = Published(tried=tried, points=points, recommendation=found, folder=folder)
    title, measure = f"{job.name}: {tried.model.name}", next(iter(target.limits))
    write_rows(table(Trial, tried.trials), storage.join(folder, "rows.parquet"))
    for suffix, content in plot(points, target, found, title).items():
        storage.write(storage.join(folder, f"frontier.{suffix}"), content)
    storage.write(storage.join(folder, "evaluation.json"), json.dumps(_figures(published), indent=1).encode())
    storage.write(storage.join(folder, "evaluation.md"), _page(published, title).encode())
    console.print(tables.terminal_table(points, title, measure))
    for line in _told(published):
        console.print(line, markup=False, soft_wrap=True, highlight=False)
    return published


def fragment(published: Sequence[Published], job: Job) -> dict[str, Any]:
    """What `generate` takes beside the job's file. A list of models replaces the job's own."""
    if job.model:
        return published[0].recommendation.fragment
    models = []
    for model, each in zip(job.models, published, strict=True):
        fields = model.model_dump(mode="json", exclude_unset=True)
        models.append({**fields, **each.recommendation.fragment["model"]})
    return {"models": models}


def write_fragment(published: Sequence[Published], job: Job) -> str:
    """Where the YAML was written."""
    url = Output(url=storage.absolute(job.output)).evaluation("recommended.yaml")
    text = yaml.safe_dump(fragment(published, job), sort_keys=False, default_flow_style=None, width=120)
    heads = [f"# {each.tried.model.name}: {told}" for each in published for told in _told(each)]
    storage.write(url, "\n".join([*heads, text]).encode())
    return url


def _told(published: Published) -> list[str]:
    lines = list(tables.told(published.recommendation, published.tried.target))
    failed = sum(bool(trial.error) for trial in published.tried.trials)
    if failed:
        lines.append(f"{failed} of {len(published.tried.trials)} rows failed; the first: "
                     f"{_first_error(published.tried.trials)}")  # fmt: skip
    return lines


def _page(published: Published, title: str) -> str:
    tried, measure = published.tried, next(iter(published.tried.target.limits))
    first = tried.trials[0]
    rows = len({trial.id for trial in tried.trials})
    parts = [
        f"# {title}",
        f"{rows} rows, {max(trial.num_inference_steps for trial in tried.trials)} steps and fewer, "
        f"{first.width}x{first.height}, batches of {first.batch_size}; {first.versions}; "
        f"{datetime.now(timezone.utc):%Y-%m-%d}.",
        *_told(published),
        "![compute saving against fidelity](frontier.svg)",
        tables.markdown_table(published.points, measure),
        tables.EXPLAINED,
        "\n".join(f"- {note}" for note in tried.notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(published: Published) -> Mapping[str, Any]:
    found, target = published.recommendation, published.tried.target
    best = frontier(published.points, next(iter(target.limits)))
    return {
        "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": published.tried.model.name,
        "target": target.limits,
        "notes": list(published.tried.notes),
        "settings": [{**_figure(point), "on_frontier": point in best} for point in published.points],
        "recommended": found.fragment,
        "chosen": _figure(found.chosen) if found.chosen else None,
        "confirmed": _figure(found.confirmed) if found.confirmed else None,
        "not_confirmed": [_figure(point) for point in found.passed_over],
    }


def _figure(point: Point) -> dict[str, Any]:
    setting, interval = point.setting, point.speedup_interval
    return {
        "method": setting.method,
        "label": setting.label,
        "num_inference_steps": setting.num_inference_steps,
        "cache": cache_fragment(setting),
        "rows": point.rows,
        "failed": point.failed,
        "saving": point.saving,
        "speedup": point.speedup,
        "speedup_interval": asdict(interval) if interval else None,
        **{name: asdict(median) for name, median in point.medians.items()},
    }


def _first_error(trials: Sequence[Trial]) -> str:
    return next((trial.error for trial in trials if trial.error), "none was run")
