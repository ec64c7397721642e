"""A fitted polynomial as data: how good it is, what it was fitted on, and its JSON file beside the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from teacache.errors import CoefficientsError

CALIBRATION_FILE = "teacache.json"
Target = Literal["output", "residual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted polynomial, how good it is, and what it was fitted on. `save` and `load` are exact."""

    denoiser: str
    coefficients: tuple[float, ...]
    """Highest degree first."""
    fitted_range: tuple[float, float]
    """The smallest and largest change of the indicator in the fit."""
    target: Target
    """Whose change the polynomial predicts: the stack output's, as published, or the residual's."""
    pairs: int
    r2: float
    """Share of the variance explained on the prompts of the fit."""
    held_out_r2: float | None
    """The same on the prompts kept from the fit; None where there were none."""
    rmse: float
    lowest: float
    """The polynomial's smallest value on the fitted range; a negative one is clamped unless `strict`."""
    num_inference_steps: int
    prompts: int
    prompts_sha256: str
    scheduler: Mapping[str, Any]
    dtype: str
    versions: Mapping[str, str]

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
            stored = json.loads(file.read_text())
            lists = {name: tuple(map(float, stored[name])) for name in ("coefficients", "fitted_range")}
            loaded = cls(**{**stored, **lists})
            low, high = loaded.fitted_range
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CoefficientsError(f"{file} is no calibration that teacache wrote: {error}") from error
        if not (low < high and loaded.coefficients and all(map(math.isfinite, (*loaded.coefficients, low, high)))):
            raise CoefficientsError(f"{file}: coefficients {loaded.coefficients} on {loaded.fitted_range} are no fit")
        return loaded
