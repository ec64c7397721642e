"""The statistics of an output that lies there already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jobs import storage
from jobs.accounting.statistics import COLUMNS, per_model
from jobs.accounting.summary import Summary
from jobs.config.job import Alarm
from jobs.errors import Failure, Refused, attempt, redact, refusing
from jobs.output import manifest
from jobs.paths import Output


def recounted(output: Output) -> dict[str, Any]:
    """The statistics of an output by now, as in stats.json: counted anew, and what only that file knows of the run.

    Raises Refused if there are neither rows nor statistics.
    """
    counted = per_model(manifest.read_batches(output, COLUMNS))
    before = _noted(output)
    if not counted and not before:
        raise Refused(f"{redact(output.url)} holds no job: neither manifest/ nor stats.json; give the job's output")
    summary = Summary(
        job=str(before.get("job", output.url.rstrip("/").rpartition("/")[2])),
        models=counted,
        runs={},
        earlier=_runs(before),
        price_per_hour=before.get("price_per_hour"),
        alarm=Alarm.model_validate(before.get("alarm", {})),
    )
    stats: dict[str, Any] = json.loads(summary.to_json())
    return {**stats, "created_at": before.get("created_at", stats["created_at"])}


def earlier_runs(output: Output) -> dict[str, Any]:
    """By model, the figures of the run that wrote stats.json last; none where that file tells none."""
    found = attempt(lambda: _runs(_noted(output)))
    return {} if isinstance(found, Failure) else found


def _noted(output: Output) -> dict[str, Any]:
    content = storage.read(output.stats)
    with refusing(f"{output.stats}: no statistics of a job"):
        stats: dict[str, Any] = json.loads(content) if content else {}
        _runs(stats)
    return stats


def _runs(stats: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures["run"] for name, figures in stats.get("models", {}).items()}
