"""What a calibration says of the model that is to be evaluated, and which methods the model can take."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.actors import models
from jobs.config.cache import Cache
from jobs.config.model import Model
from jobs.errors import Refused, refusing
from jobs.evaluation.settings import FEWER_STEPS, METHODS, Known, Setting, fewer_steps, settings_of
from jobs.paths import Output, packaged
from teacache.calibration import CALIBRATION_FILE, Calibration
from teacache.scheduling import Schedule

_EVENLY = "schedule: evenly spaced steps, for {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicable:
    """The settings of each method that the model takes."""

    settings: Sequence[Setting]
    calibration: str
    """A digest of the calibration that they rest on, empty where there is none."""
    notes: Sequence[str]
    """A line for each method that is left out, or is otherwise than one would expect."""


def applicable(model: Model, output: Output, steps: int, only: Sequence[str]) -> Applicable:
    """What can be tried. `only` names methods as `cache.method` does; empty means all.

    Raises Refused for a calibration file that is none.
    """
    file = _file(model, output)
    known, notes = _known(model, file, steps) if file else (Known(), [_EVENLY.format("there is no calibration")])
    if only and "schedule" not in only:
        notes = []
    found = fewer_steps(steps)
    for method in METHODS:
        if only and method.cache not in only:
            continue
        settings = settings_of(method, model, steps, known)
        try:
            for cache in [setting.cache for setting in settings][:1]:
                models.check_cache(model.model_copy(update={"cache": cache}))
        except Refused as reason:
            notes.append(f"{method.name}: left out: {_reason(reason, model)}")
            continue
        found += settings
    if all(setting.method == FEWER_STEPS for setting in found):
        notes.append("no caching method is left, only fewer steps")
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    return Applicable(settings=found, calibration=digest, notes=notes)


def _known(model: Model, file: Path, steps: int) -> tuple[Known, list[str]]:
    with refusing(f"model {model.name}: calibration"):
        calibration = Calibration.load(file)
    place = Path(packaged(model.pipeline))
    named = None if place in (file.parent, file.parent.parent) else str(file)
    computed = len(next(iter(calibration.schedules.values()))[0].steps)
    probe = Cache.model_validate({"method": "schedule", "computed": computed, "calibration": named})
    try:
        models.check_cache(model.model_copy(update={"cache": probe}))
    except Refused as reason:
        return Known(), [_EVENLY.format(_reason(reason, model))]
    measured = calibration.conditions.num_inference_steps
    if measured != steps:
        return Known(calibration=named), [_EVENLY.format(f"{file} is of {measured} steps")]
    numbers = [
        {each.computed for each in (*schedules, *_unguided(calibration, denoiser))}
        for denoiser, schedules in calibration.schedules.items()
    ]
    return Known(calibration=named, computed=frozenset(set.intersection(*numbers))), []


def _unguided(calibration: Calibration, denoiser: str) -> list[Schedule]:
    return [each for each in calibration.measured.get(denoiser, ()) if each.unguided]


def _file(model: Model, output: Output) -> Path | None:
    """The calibration that the model's `cache` names, or that `calibrate` wrote for this job, or beside the weights."""
    if given := (model.cache.model_extra or {}).get("calibration"):
        file = Path(given)
        return file / CALIBRATION_FILE if file.is_dir() else file
    place = Path(packaged(model.pipeline))
    folders = (place / "transformer", place)
    found = [Path(output.calibration(model.name)), *(folder / CALIBRATION_FILE for folder in folders)]
    return next((file for file in found if file.is_file()), None)


def _reason(refused: Refused, model: Model) -> str:
    return str(refused).removeprefix(f"model {model.name}: ")
