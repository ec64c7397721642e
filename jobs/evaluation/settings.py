"""What is tried: every caching method over a range of its one dial, and always fewer steps without a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jobs.config.cache import Cache, cache_fields
from jobs.config.model import Model
from jobs.config.targets import DIALS

FEWER_STEPS = "fewer steps"

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.1)
"""Of TeaCacheConfig.rel_l1_thresh; published ones lie between 0.05 and 1.1."""
TOLERANCES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Of AdaptiveConfig.tolerance."""
SAVINGS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0)
"""Steps of a run over those computed, for schedules and for fewer steps."""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One point of a method's range: what a job would be told."""

    method: str
    """As tables and plots call it: two of them may share `cache.method`."""
    label: str
    """The dial's place, such as `rel_l1_thresh 0.2`."""
    cache: Cache
    num_inference_steps: int

    @property
    def name(self) -> str:
        return self.label if self.method == FEWER_STEPS else f"{self.method}, {self.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a calibration says of the model."""

    calibration: str | None = None
    """Its file, where a job has to name it: one beside the weights is found without."""
    computed: frozenset[float] = frozenset()
    """The numbers of computed steps that it has schedules for, of this number of steps in all; with a fraction where a
    step is unguided."""


Places = Callable[[int, Known], Iterator[tuple[str, Fields]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method and its range: the fields of a model's `cache` at each place of the dial."""

    name: str
    cache: str
    places: Places


def _thresholds(order: int) -> Places:
    def places(steps: int, known: Known) -> Iterator[tuple[str, Fields]]:
        named = {"calibration": known.calibration} if known.calibration else {}
        for threshold in THRESHOLDS:
            yield f"rel_l1_thresh {threshold:g}", {"rel_l1_thresh": threshold, "order": order, **named}

    return places


def _tolerances(steps: int, known: Known) -> Iterator[tuple[str, Fields]]:
    for tolerance in TOLERANCES:
        yield f"tolerance {tolerance:g}", {"tolerance": tolerance}


def _schedules(steps: int, known: Known) -> Iterator[tuple[str, Fields]]:
    named = {"calibration": known.calibration} if known.calibration else {}
    for computed in numbers(steps):
        # The number of steps is told so that a run of another one is refused: the list is for this one.
        even = {"steps": evenly(computed, steps), "num_inference_steps": steps}
        yield f"{computed} computed", {"computed": computed, **named} if computed in known.computed else even
    for fraction in sorted(number for number in known.computed if number % 1):
        yield f"{fraction:.4g} computed", {"computed": round(fraction, 2), **named}


METHODS = (
    Method(name="teacache", cache="teacache", places=_thresholds(order=0)),
    Method(name="teacache order 1", cache="teacache", places=_thresholds(order=1)),
    Method(name="adaptive", cache="adaptive", places=_tolerances),
    Method(name="schedule", cache="schedule", places=_schedules),
)


def settings_of(method: Method, model: Model, steps: int, known: Known) -> list[Setting]:
    """The range of one method, with what the model's `cache` says beside it."""
    shared = _shared(model.cache, method.cache)
    if {"published", "coefficients"} & set(shared):
        known = replace(known, calibration=None)
    return [
        Setting(
            method=method.name,
            label=label,
            cache=Cache.model_validate({"method": method.cache, **shared, **fields}),
            num_inference_steps=steps,
        )
        for label, fields in method.places(steps, known)
    ]


def fewer_steps(steps: int) -> list[Setting]:
    """What a user would do otherwise."""
    none = Cache(method="none")
    return [
        Setting(method=FEWER_STEPS, label=f"{number} steps, no cache", cache=none, num_inference_steps=number)
        for number in numbers(steps)
    ]


def numbers(steps: int) -> list[int]:
    """Of steps to compute: steps over each of SAVINGS, those of at least two steps and less than all."""
    found = dict.fromkeys(round(steps / saving) for saving in SAVINGS)
    return [number for number in found if 2 <= number < steps]


def evenly(computed: int, steps: int) -> tuple[int, ...]:
    """The first step, the last, and evenly spaced ones between."""
    return tuple(int(step) for step in np.linspace(0, steps - 1, computed).round())


def _shared(cache: Cache, method: str) -> Fields:
    """What the user's own `cache` says that is not a dial, as far as it goes with the method."""
    common = set.intersection(*(set(cache_fields(each.cache)) for each in METHODS)) - {"num_inference_steps"}
    wanted = set(cache_fields(method)) - DIALS - {"calibration"} if cache.method == method else common
    return {name: value for name, value in (cache.model_extra or {}).items() if name in wanted}
