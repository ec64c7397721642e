"""What makes a job's output this job's: the settings that its pictures follow from, kept beside them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from jobs import manifest, storage
from jobs.config import Cache, Generation, Job, Media, Model
from jobs.errors import Refused, redact, refusing
from jobs.paths import Output


def settings(job: Job) -> dict[str, Any]:
    """All settings that a row's picture depends on, flat: `generation.width`, `models.flux.dtype`, ..."""
    flat: dict[str, Any] = {"seed": job.seed}
    flat.update({f"media.{name}": value for name, value in job.media.model_dump(mode="json").items()})
    flat.update({f"generation.{name}": value for name, value in job.generation.model_dump(mode="json").items()})
    for model in job.each_model:
        fields = model.model_dump(mode="json", include={"pipeline", "revision", "variant", "dtype"})
        fields["cache"] = json.loads(model.cache.to_json())
        flat.update({f"models.{model.name}.{name}": value for name, value in fields.items()})
    return flat


def claim(job: Job) -> None:
    """Note the settings in the output, which also shows that it can be written.

    Raises Refused if it can't, or if it holds rows of other settings: pictures of two kinds would mix.
    Settings of a run that wrote no row bind nobody.
    """
    output = Output(url=job.output)
    theirs = check(job)
    with refusing(f"output: can't write {job.output}"):
        # Models of other runs stay noted, so that their rows stay guarded.
        storage.write(output.job, json.dumps({**theirs, **settings(job)}, indent=2).encode())


def check(job: Job) -> dict[str, Any]:
    """The settings noted in the output. Raises Refused if it holds rows of others than this job's."""
    output = Output(url=job.output)
    ours = settings(job)
    with refusing(f"output: can't read {job.output}"):
        theirs = _noted(output) if manifest.holds_rows(output) else {}
    name = _first_difference(ours, theirs)
    if name is None:
        return theirs
    raise Refused(
        f"output: {redact(job.output)} holds rows made with {name} = {json.dumps(_value(theirs, name))}, "
        f"not {json.dumps(_value(ours, name))}; give another --output"
    )


def _noted(output: Output) -> dict[str, Any]:
    content = storage.read(output.job)
    try:
        noted = json.loads(content) if content else {}
    except ValueError:
        noted = None
    if not isinstance(noted, dict):
        raise Refused(f"output: {redact(output.job)} is no JSON object, so not of a job; give another --output")
    return noted


def _first_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """The first setting that differs, of the models that both have; none where nothing was noted."""
    if not theirs:
        return None
    shared = {_scope(name) for name in ours} & {_scope(name) for name in theirs} | {"", "generation", "media"}
    names = sorted(name for name in {*ours, *theirs} if _scope(name) in shared)
    return next((name for name in names if _value(ours, name) != _value(theirs, name)), None)


def _scope(name: str) -> str:
    """What a setting belongs to, such as `models.flux`: names of models may hold dots, names of settings don't."""
    return name.rpartition(".")[0]


def _value(noted: dict[str, Any], name: str) -> Any:
    """As noted, else its default: a setting that came with a later version had that value before."""
    scope, _, field = name.rpartition(".")
    if field == "cache":
        return _with_defaults(noted.get(name, {}))
    if name in noted:
        return noted[name]
    sections = {"": Job.model_fields, "generation": Generation.model_fields, "media": Media.model_fields}
    fields = sections.get(scope, Model.model_fields)
    return fields[field].default if field in fields and not fields[field].is_required() else None


def _with_defaults(cache: Any) -> Any:
    try:
        return json.loads(Cache.model_validate(cache).to_json())
    except ValidationError:
        return cache
