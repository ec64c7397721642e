"""What makes a job's output this job's: the settings that its pictures follow from, kept beside them."""

from __future__ import annotations

import json
from typing import Any

from jobs import storage
from jobs.config import Job
from jobs.errors import Refused, redact, refusing
from jobs.paths import Output


def settings(job: Job) -> dict[str, Any]:
    """All settings that a row's picture depends on, flat: `generation.width`, `models.flux.dtype`, ..."""
    flat: dict[str, Any] = {"seed": job.seed}
    flat.update({f"generation.{name}": value for name, value in job.generation.model_dump(mode="json").items()})
    for model in job.each_model:
        fields = model.model_dump(mode="json", include={"pipeline", "revision", "variant", "dtype"})
        fields["cache"] = json.loads(model.cache.to_json())
        flat.update({f"models.{model.name}.{name}": value for name, value in fields.items()})
    return flat


def claim(job: Job) -> None:
    """Note the settings in the output, which also shows that it can be written.

    Raises Refused if it can't, or if it holds rows of other settings: pictures of two kinds would mix.
    """
    url = Output(url=job.output).job
    ours = settings(job)
    with refusing(f"output: can't write {job.output}"):
        there = storage.read(url)
        theirs = json.loads(there) if there else ours
        if theirs == ours:
            storage.write(url, json.dumps(ours, indent=2).encode())
            return
    name = next(name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name))
    raise Refused(
        f"output: {redact(job.output)} holds rows made with {name} = {json.dumps(theirs.get(name))}, "
        f"not {json.dumps(ours.get(name))}; give another --output"
    )
