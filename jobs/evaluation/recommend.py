"""One setting to use: the cheapest that keeps the target on one part of the prompts and also on the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.config.targets import Target
from jobs.evaluation.chosen import CHOOSE, CONFIRM
from jobs.evaluation.frontier import Point, points_of
from jobs.evaluation.settings import FEWER_STEPS, Setting
from jobs.evaluation.trials import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to use. No setting: none keeps the target, so no cache and all steps."""

    setting: Setting | None
    chosen: Point | None = None
    """On the prompts that it was chosen on."""
    confirmed: Point | None = None
    """On the others."""
    passed_over: tuple[Point, ...] = ()
    """Cheaper ones that kept the target where they were chosen, as they are on the others, where they did not."""

    @property
    def fragment(self) -> dict[str, Any]:
        """What a job of one model is told, in the form of its YAML."""
        if self.setting is None:
            return {"model": {"cache": {"method": "none"}}}
        fields = {"model": {"cache": cache_fragment(self.setting)}}
        if self.setting.method == FEWER_STEPS:
            return {"generation": {"num_inference_steps": self.setting.num_inference_steps}, **fields}
        return fields


def recommend(settings: Sequence[Setting], trials: Sequence[Trial], target: Target) -> Recommendation:
    """Cheapest is what computes fewest steps: seconds differ from run to run, and what it computes does not.

    A setting of which a trial failed is not recommended, nor one that saves nothing.
    """
    choose, confirm = (
        {point.setting.name: point for point in points_of(settings, [trial for trial in trials if trial.part == part])}
        for part in (CHOOSE, CONFIRM)
    )
    measure = next(iter(target.limits))
    candidates = [point for point in choose.values() if _keeps(point, target) and point.saving > 1]
    passed_over: list[Point] = []
    for point in sorted(candidates, key=lambda point: (-point.saving, _loss(measure, point))):
        other = confirm.get(point.setting.name)
        if other and _keeps(other, target):
            return Recommendation(setting=point.setting, chosen=point, confirmed=other, passed_over=tuple(passed_over))
        passed_over += [other] if other else []
    return Recommendation(setting=None, passed_over=tuple(passed_over))


def cache_fragment(setting: Setting) -> dict[str, Any]:
    """The setting's cache as a job's YAML says it: what was set, and nothing left to defaults."""
    fragment: dict[str, Any] = json.loads(setting.cache.model_dump_json(exclude_none=True))
    return fragment


def _keeps(point: Point, target: Target) -> bool:
    return not point.failed and target.is_met(point.values)


def _loss(measure: str, point: Point) -> float:
    """Of two settings that cost the same, the better one first."""
    value = point.values[measure]
    return value if measure == "lpips" else -value
