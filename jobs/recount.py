"""The statistics of an output that lies there already."""

from __future__ import annotations

import json
from typing import Any

from jobs import manifest, storage
from jobs.config import Alarm
from jobs.errors import Refused, redact, refusing
from jobs.paths import Output
from jobs.statistics import COLUMNS, per_model
from jobs.summary import Summary


def recounted(output: Output) -> dict[str, Any]:
    """The statistics of an output by now, as in stats.json: counted anew, and what only that file knows of the run.

    Raises Refused if there are neither rows nor statistics.
    """
    counted = per_model(manifest.read_batches(output, COLUMNS))
    content = storage.read(output.stats)
    with refusing(f"{output.stats}: no statistics of a job"):
        before: dict[str, Any] = json.loads(content) if content else {}
    if not counted and not before:
        raise Refused(f"{redact(output.url)} holds no job: neither manifest/ nor stats.json; give the job's output")
    summary = Summary(
        job=str(before.get("job", output.url.rstrip("/").rpartition("/")[2])),
        models=counted,
        runs={},
        price_per_hour=before.get("price_per_hour"),
        alarm=Alarm.model_validate(before.get("alarm", {})),
    )
    stats: dict[str, Any] = json.loads(summary.to_json())
    for name, figures in stats["models"].items():
        figures["run"] = before.get("models", {}).get(name, figures).get("run", figures["run"])
    return {**stats, "created_at": before.get("created_at", stats["created_at"])}
