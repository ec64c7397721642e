"""What makes a job's output this job's: the settings that its pictures follow from, kept beside them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from jobs import storage
from jobs.config.cache import Cache
from jobs.config.job import Actors, Generation, Job
from jobs.config.media import Media
from jobs.config.model import Model
from jobs.errors import Refused, redact, refusing
from jobs.output import contents, manifest
from jobs.paths import Output

_SECTIONS: dict[str, type[BaseModel]] = {"": Job, "generation": Generation, "media": Media}
CONTENTS = ("weights", "calibration")
"""What is noted of a model's files, see contents.py: no field of a job."""

_MODEL_DEFAULTS = {"dtype": Model.model_fields["dtype"].default, "exact": Actors().exact, "lora": []}


def settings(job: Job) -> dict[str, Any]:
    """All settings that a row's bytes depend on, flat: `generation.width`, `models.flux.dtype`, ...

    Not among them: what only says how many rows there are, where they are made and kept, or how they are spread over
    calls and actors. Without actors.exact the size of a batch may show in the last bit, and is left out all the same:
    memory may ask for another one half-way.
    """
    flat: dict[str, Any] = {"seed": job.seed}
    media = job.media.model_dump(mode="json", exclude={"layout"})
    flat.update({f"media.{name}": value for name, value in media.items()})
    generation = job.generation.model_dump(mode="json", exclude={"samples"})
    flat.update({f"generation.{name}": value for name, value in generation.items()})
    for model in job.each_model:
        fields = model.model_dump(mode="json", include={"pipeline", "revision", "variant", "dtype"})
        fields["exact"] = job.actors_of(model).exact
        fields["lora"] = [lora.model_dump(mode="json") for lora in model.lora]
        fields["cache"] = json.loads(model.cache.to_json())
        with refusing(f"model {model.name}: can't read its files"):
            fields |= {"weights": contents.weights(model), "calibration": contents.calibration(model)}
        flat.update({f"models.{model.name}.{name}": value for name, value in fields.items()})
    return flat


def claim(job: Job) -> None:
    """Note the settings in the output, which also shows that it can be written.

    Raises Refused if it can't, or if it holds rows of other settings: pictures of two kinds would mix.
    Settings of a run that wrote no row bind nobody.
    """
    output = Output(url=job.output)
    ours = settings(job)
    theirs = _checked(job, ours)
    with refusing(f"output: can't write {job.output}"):
        # Models of other runs stay noted, so that their rows stay guarded.
        storage.write(output.job, json.dumps({**theirs, **ours}, indent=2).encode())


def noted_of_rows(job: Job) -> dict[str, Any]:
    """The settings noted in the output if it holds rows, else none. Raises Refused."""
    output = Output(url=job.output)
    with refusing(f"output: can't read {job.output}"):
        return _noted(output) if manifest.holds_rows(output) else {}


def check(job: Job) -> dict[str, Any]:
    """The settings noted in the output. Raises Refused if it holds rows of others than this job's."""
    return _checked(job, settings(job))


def _checked(job: Job, ours: dict[str, Any]) -> dict[str, Any]:
    theirs = noted_of_rows(job)
    name = _first_difference(ours, theirs)
    if name is None:
        return theirs
    before, now = _value(theirs, name), _value(ours, name)
    if is_of_files(name):
        raise Refused(
            f"output: {redact(job.output)} holds rows made with {name} files of other content, under the same name; "
            "give another --output"
        )
    if name.endswith(".cache") and isinstance(before, dict) and isinstance(now, dict):
        differing = [each for each in ("method", *sorted({*before, *now})) if before.get(each) != now.get(each)]
        if differing:
            name, before, now = f"{name}.{differing[0]}", before.get(differing[0]), now.get(differing[0])
    raise Refused(
        f"output: {redact(job.output)} holds rows made with {name} = {json.dumps(before)}, not {json.dumps(now)}; "
        "give another --output"
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
    # Of outputs from before it was noted, nobody can say what a model's files held.
    names = [name for name in names if name in theirs or not is_of_files(name)]
    return next((name for name in names if _value(ours, name) != _value(theirs, name)), None)


def is_of_files(name: str) -> bool:
    """Whether it says what a model's files hold, which is no setting."""
    return name.startswith("models.") and name.rpartition(".")[2] in CONTENTS


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
    if scope.startswith("models."):
        return _MODEL_DEFAULTS.get(field)
    fields = _SECTIONS.get(scope, Job).model_fields
    return fields[field].default if field in fields and not fields[field].is_required() else None


def _with_defaults(cache: Any) -> Any:
    try:
        return json.loads(Cache.model_validate(cache).to_json())
    except ValidationError:
        return cache
