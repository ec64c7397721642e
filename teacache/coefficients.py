"""Which recipe goes with a model: one's own, the calibration beside its weights, or a published one."""

from __future__ import annotations

import warnings
from pathlib import Path

from teacache.calibration import CALIBRATION_FILE, Calibration
from teacache.checkpoint import Checkpoint
from teacache.configs import TeaCacheConfig
from teacache.errors import CoefficientsError
from teacache.models import Published
from teacache.published import PUBLISHED
from teacache.recipe import Recipe


def find_recipe(config: TeaCacheConfig, checkpoint: Checkpoint) -> Recipe:
    """The recipe that a config asks for, or else the calibration beside the weights, or else what was published.

    Raises:
        CoefficientsError: there is none, or the calibration beside the weights is of another model.
    """
    if config.coefficients is not None:
        return Recipe(coefficients=config.coefficients, fitted_range=config.fitted_range)
    if config.published is not None:
        return _recipe_of(_by_name(config.published, checkpoint))
    calibration = find_calibration(checkpoint, config.calibration)
    if calibration is not None:
        fit = calibration.polynomial(checkpoint.attribute)
        return Recipe(coefficients=fit.coefficients, fitted_range=fit.fitted_range, indicator=calibration.indicator)
    found = next((entry for entry in PUBLISHED if _matches(entry, checkpoint)), None)
    if found is None:
        raise CoefficientsError(
            f"no coefficients are published for this {checkpoint.transformer}. Fit them: {checkpoint.calibrating}; "
            "or give TeaCacheConfig(coefficients=...); AdaptiveConfig needs none" + _names(checkpoint)
        )
    _warn_of_another_name(found, checkpoint)
    return _recipe_of(found)


def find_calibration(checkpoint: Checkpoint, given: str | None = None) -> Calibration | None:
    """The calibration that was given, or else that beside a checkpoint's weights, if there is one.

    Raises:
        CoefficientsError: it is broken, or of something else; or the given one is not there.
    """
    beside = (folder / CALIBRATION_FILE for folder in checkpoint.folders)
    file = Path(given) if given is not None else next((file for file in beside if file.is_file()), None)
    if file is None:
        return None
    calibration = Calibration.load(file)
    difference = calibration.conditions.difference(checkpoint)
    if difference:
        raise CoefficientsError(f"{file} does not apply: {difference}; calibrate again")
    return calibration


def _matches(entry: Published, checkpoint: Checkpoint) -> bool:
    return (
        entry.transformer == checkpoint.transformer
        and entry.config is not None
        and entry.pipeline in checkpoint.pipeline.replace("Modular", "")
        and entry.denoisers in (None, checkpoint.denoisers)
        and all(name in checkpoint.config and checkpoint.config[name] == value for name, value in entry.config.items())
    )


def _warn_of_another_name(found: Published, checkpoint: Checkpoint) -> None:
    """A config can be the same for two checkpoints; then the name that one was loaded by is no proof, but a hint."""
    names = (entry.name for entry in PUBLISHED if entry.transformer == checkpoint.transformer)
    hinted = [name for name in names if any(name in str(folder) for folder in checkpoint.folders)]
    closest = max(hinted, key=len, default=found.name)
    if closest != found.name:
        warnings.warn(
            f"{checkpoint.folders[0]} has the config of {found.name}, whose polynomial is taken; "
            f"TeaCacheConfig(published={closest!r}) takes the one of {closest}, published={found.name!r} this one",
            stacklevel=2,
        )


def _by_name(name: str, checkpoint: Checkpoint) -> Published:
    for entry in PUBLISHED:
        if (entry.transformer, entry.name) == (checkpoint.transformer, name):
            return entry
    raise CoefficientsError(f"no recipe called {name!r} is published for {checkpoint.transformer}{_names(checkpoint)}")


def _names(checkpoint: Checkpoint) -> str:
    names = [entry.name for entry in PUBLISHED if entry.transformer == checkpoint.transformer]
    return f"; published for this class, to be asked for by name: {', '.join(names)}" if names else ""


def _recipe_of(entry: Published) -> Recipe:
    if entry.borrowed_from:
        warnings.warn(
            f"the polynomial for {entry.name} was fitted on {entry.borrowed_from}; "
            "teacache.calibrate(pipe, prompts) fits one on the model itself",
            stacklevel=2,
        )
    return Recipe(
        coefficients=entry.coefficients,
        fitted_range=entry.fitted_range,
        indicator=entry.indicator,
        first=entry.first,
        last=entry.last,
    )
