"""Log lines for machines: one JSON object each, on request, through Python's own logging.

Ray sets the format up in every process of the job. The driver's lines go to its stderr, those of workers to Ray's log
folder on their node (`session_latest/logs/worker-*.err`), where a cluster's log collector finds them.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import ray

from jobs.config.job import LogFormat
from jobs.runs import Tags

_log = logging.getLogger("jobs")


def logging_config(log_format: LogFormat) -> ray.LoggingConfig | None:
    """What `ray.init` takes for it; None leaves logging as it is: warnings only, as text."""
    if log_format == "text":
        return None
    return ray.LoggingConfig(encoding="JSON", additional_log_standard_attrs=["name"])


def log_rows(rows: pa.Table, tags: Tags) -> None:
    """One line for each row that was written: with its seconds if it is done, as a warning with its error if not."""
    for row in rows.select(["id", "actor", "seconds", "error"]).to_pylist():
        fields = _fields(tags, row=row["id"], actor=row["actor"])
        # An id is anybody's text: quoted, it can't forge a line of the text format.
        if row["error"]:
            _log.warning("row %r failed: %s", row["id"], row["error"], extra={**fields, "error": row["error"]})
        else:
            _log.info("row %r done", row["id"], extra={**fields, "seconds": row["seconds"]})


def log_model(message: str, tags: Tags, **figures: Any) -> None:
    """A line about the model as a whole; it belongs to no row and no actor."""
    _log.info(message, extra={**_fields(tags, row=None, actor=None), **figures})


def _fields(tags: Tags, row: str | None, actor: str | None) -> dict[str, Any]:
    return {**asdict(tags), "row": row, "actor": actor}
