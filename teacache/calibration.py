"""What a calibration found, as data: a polynomial and schedules, what they were measured on, and their JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from teacache.checkpoint import Checkpoint, plain
from teacache.errors import CoefficientsError
from teacache.fitting import Polynomial
from teacache.scheduling import Schedule

CALIBRATION_FILE = "teacache.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a calibration was measured with, to know when it no longer applies."""

    denoisers: Mapping[str, Mapping[str, Any]]
    """Class and config of each, by the pipeline's attribute."""
    scheduler: Mapping[str, Any]
    """Its class and config."""
    num_inference_steps: int
    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]
    """Empty where the scheduler has none."""
    call: Mapping[str, Any]
    """The pipeline's other arguments: guidance, height, width, ..."""
    prompts: int
    prompts_sha256: str
    dtype: str
    versions: Mapping[str, str]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conditions:
        """From what `dataclasses.asdict` made, also after a way through JSON, which is exact."""
        return cls(**{**data, "timesteps": tuple(data["timesteps"]), "sigmas": tuple(data["sigmas"])})

    def difference(self, checkpoint: Checkpoint) -> str:
        """The first thing in which a checkpoint differs from what was measured; "" where none does."""
        known = self.denoisers.get(checkpoint.attribute)
        if known is None:
            return f"it is for {', '.join(self.denoisers)}, not for {checkpoint.attribute}"
        here = {"class": checkpoint.transformer, **plain(checkpoint.config)}
        pairs: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [("denoiser", known, here)]
        if checkpoint.scheduler is not None:
            pairs.append(("scheduler", self.scheduler, checkpoint.scheduler))
        for what, measured, found in pairs:
            for key in measured:
                if measured[key] != found.get(key):
                    return f"{what} {key} was {measured[key]!r} and is {found.get(key)!r}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A pipeline's polynomials and schedules, by the attribute that holds the denoiser. `save` and `load` are exact."""

    conditions: Conditions
    indicator: str
    """The model's indicator that was recorded."""
    polynomials: Mapping[str, Polynomial]
    schedules: Mapping[str, tuple[Schedule, ...]]
    """Lines through residuals, for every number of computed steps."""
    measured: Mapping[str, tuple[Schedule, ...]] = field(default_factory=dict)
    """Sums of the denoiser's outputs, with weights, for some numbers of computed steps."""

    def polynomial(self, denoiser: str = "transformer") -> Polynomial:
        """Of one of the pipeline's denoisers."""
        return self.polynomials[denoiser]

    def schedule(self, computed: float, denoiser: str = "transformer", *, lines: bool = False) -> Schedule:
        """The best schedule with a number of computed steps: a measured one where there is one, else for lines.

        Args:
            computed: as `Schedule.computed` counts; with a fraction where the first step is unguided.
            lines: for lines in any case, which know no unguided steps.

        Raises:
            CoefficientsError: there is none with so many.
        """
        schedules, several = self.schedules.get(denoiser, ()), self.measured.get(denoiser, ())
        measured = next((each for each in several if abs(each.computed - computed) < 0.01), None)  # 3.33 is 10/3
        wanted = computed if measured is None else len(measured.steps)
        line = next((each for each in schedules if len(each.steps) == wanted), None)
        found = line if lines or measured is None else measured
        if found is not None:
            return found
        known = f"{len(schedules[0].steps)} to {len(schedules[-1].steps)}" if schedules else "none"
        known += "".join(f", {each.computed:.4g}" for each in several if each.unguided)
        raise CoefficientsError(f"no schedule with {computed} computed steps was calibrated; there are: {known}")

    def save(self, path: str | Path) -> Path:
        """Write JSON: to a file, or as `teacache.json` into a folder, where `enable` finds it beside the weights."""
        file = Path(path)
        file = file / CALIBRATION_FILE if file.is_dir() else file
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return file

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            CoefficientsError: the file is no calibration.
        """
        file = Path(path)
        file = file / CALIBRATION_FILE if file.is_dir() else file
        try:
            loaded = cls._from_dict(json.loads(file.read_text()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CoefficientsError(f"{file} is no calibration that teacache wrote: {error!r}") from error
        for fit in loaded.polynomials.values():
            low, high = fit.fitted_range
            if not (low < high and fit.coefficients and all(map(math.isfinite, (*fit.coefficients, low, high)))):
                raise CoefficientsError(f"{file}: coefficients {fit.coefficients} on {fit.fitted_range} are no fit")
        if not all(map(_whole, (schedule for each in loaded.measured.values() for schedule in each))):
            raise CoefficientsError(f"{file}: its schedules were measured by an earlier teacache; calibrate again")
        return loaded

    @classmethod
    def _from_dict(cls, stored: Mapping[str, Any]) -> Calibration:
        polynomials = {}
        for name, fit in stored["polynomials"].items():
            lists = {key: tuple(map(float, fit[key])) for key in ("coefficients", "fitted_range")}
            negative = tuple((low, high) for low, high in fit["negative"])
            polynomials[name] = Polynomial(**{**fit, **lists, "negative": negative})
        schedules, measured = (
            {name: tuple(map(Schedule.from_dict, each_list)) for name, each_list in stored.get(kind, {}).items()}
            for kind in ("schedules", "measured")
        )
        return cls(
            conditions=Conditions.from_dict(stored["conditions"]),
            indicator=stored["indicator"],
            polynomials=polynomials,
            schedules=schedules,
            measured=measured,
        )


def _whole(schedule: Schedule) -> bool:
    """Whether the first step's weights are for the sample, the output and, in a guided step, each branch's answer."""
    guided = schedule.branches > 1 and 0 not in schedule.unguided
    return len(schedule.weights[0]) == 2 + schedule.branches * guided
