"""`cache: {target: {psnr: 35}}`: the setting is found before the run, once, and noted in the output."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rich.console import Console

from jobs import storage
from jobs.config.cache import Cache
from jobs.config.job import Job
from jobs.config.model import Model
from jobs.errors import Refused, redact, refusing
from jobs.evaluation.settings import FEWER_STEPS
from jobs.output import identity
from jobs.paths import Output


def resolved(job: Job, console: Console) -> Job:
    """The job with a setting in place of each target. Evaluates where that was not done before.

    Raises Refused, also where the output holds rows of a model whose setting is not noted there: they would mix.
    """
    known = noted(job)
    for model in known.each_model:
        if model.cache.target is None:
            continue
        _check_empty(known, model)
        cache = _found(known, model, console)
        storage.write(_place(known, model), cache.model_dump_json(exclude_none=True).encode())
        known = _with(known, model, cache)
    return known


def noted(job: Job) -> Job:
    """The job with those settings that were found before; other targets stay."""
    for model in job.each_model:
        if model.cache.target is None:
            continue
        place = _place(job, model)
        with refusing(f"output: can't read {place}"):
            content = storage.read(place)
            found = Cache.model_validate(json.loads(content)) if content else None
        job = _with(job, model, found) if found else job
    return job


def _found(job: Job, model: Model, console: Console) -> Cache:
    from jobs.evaluation.evaluate import evaluate
    from jobs.evaluation.publish import publish

    assert model.cache.target is not None
    target = model.cache.target
    console.print(f"{model.name}: looking for the cheapest cache with {target}", markup=False, soft_wrap=True)
    alone = job.model_copy(update={"model": model, "models": ()})
    (tried,) = evaluate(alone, console)
    published = publish(tried, alone, console, caches_only=True)
    setting = published.recommendation.setting
    _tell_fewer_steps(published.points, setting, target, console)
    return setting.cache if setting else Cache(method="none")


def _tell_fewer_steps(points: Any, setting: Any, target: Any, console: Console) -> None:
    """The number of steps is the user's: not changed unasked, but it may be what would save most."""
    saving = next((point.saving for point in points if point.setting == setting), 1.0)
    fewer = [point for point in points if point.setting.method == FEWER_STEPS and target.is_met(point.values)]
    cheapest = max(fewer, key=lambda point: point.saving, default=None)
    if cheapest and cheapest.saving > saving:
        console.print(f"cheaper still: generation.num_inference_steps {cheapest.setting.num_inference_steps} and no "
                      f"cache, {cheapest.saving:.2f}x less compute", markup=False, soft_wrap=True)  # fmt: skip


def _check_empty(job: Job, model: Model) -> None:
    if f"models.{model.name}.cache" in identity.noted_of_rows(job):
        raise Refused(
            f"output: {redact(job.output)} holds rows of model {model.name} that were not made for the target "
            f"{model.cache.target}; give another --output"
        )


def _place(job: Job, model: Model) -> str:
    """By a digest of all that pixels depend on, target included: another job looks anew."""
    settings = identity.settings(job.model_copy(update={"model": model, "models": ()}))
    told = {name: value for name, value in settings.items() if not identity.is_of_files(name)}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return Output(url=job.output).evaluation(model.name, f"found-{digest[:16]}.json")


def _with(job: Job, model: Model, cache: Cache) -> Job:
    changed = tuple(
        each.model_copy(update={"cache": cache}) if each.name == model.name else each for each in job.each_model
    )
    return job.model_copy(update={"models": changed} if job.models else {"model": changed[0]})
