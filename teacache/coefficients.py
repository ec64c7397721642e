"""Published polynomials, as data: digits, where they come from, and which model they are for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacache.calibration import CALIBRATION_FILE, Calibration
from teacache.errors import CoefficientsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A polynomial that its authors fitted on one variant of a model."""

    variant: str
    transformer: str
    matches: Callable[[Mapping[str, Any], str], bool]
    """Tells the variant from the transformer's config and the pipeline's class name ("" where there is none)."""
    coefficients: tuple[float, ...]
    """Highest degree first."""
    source: str
    borrowed_from: str = ""
    """The variant that the digits were really fitted on, where it is another one."""


def _is_flux_1(config: Mapping[str, Any]) -> bool:
    return (config["num_layers"], config["num_single_layers"], config["num_attention_heads"]) == (19, 38, 24)


_FLUX_DEV = (4.98651651e02, -2.83781631e02, 5.58554382e01, -3.82021401e00, 2.64230861e-01)

PUBLISHED: tuple[Published, ...] = (
    Published(
        variant="FLUX.1-Kontext-dev",
        transformer="FluxTransformer2DModel",
        matches=lambda config, pipeline: _is_flux_1(config) and "Kontext" in pipeline,
        coefficients=(-1.04655119e03, 3.12563399e02, -1.69500694e01, 4.10995971e-01, 3.74537863e-02),
        source="welltop-cn/ComfyUI-TeaCache, nodes.py",
    ),
    Published(
        variant="FLUX.1-dev",
        transformer="FluxTransformer2DModel",
        matches=lambda config, pipeline: (
            _is_flux_1(config) and config["guidance_embeds"] and config["in_channels"] == 64
        ),
        coefficients=_FLUX_DEV,
        source="ali-vilab/TeaCache, TeaCache4FLUX/teacache_flux.py",
    ),
    Published(
        variant="FLUX.1-Fill, Canny or Depth",
        transformer="FluxTransformer2DModel",
        matches=lambda config, pipeline: _is_flux_1(config) and config["guidance_embeds"],
        coefficients=_FLUX_DEV,
        source="ali-vilab/TeaCache, TeaCache4FLUX/teacache_flux.py",
        borrowed_from="FLUX.1-dev",
    ),
    Published(
        variant="FLUX.1-schnell",
        transformer="FluxTransformer2DModel",
        matches=lambda config, pipeline: _is_flux_1(config),
        coefficients=_FLUX_DEV,
        source="ali-vilab/TeaCache, TeaCache4FLUX/teacache_flux.py",
        borrowed_from="FLUX.1-dev",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    coefficients: tuple[float, ...]
    fitted_range: tuple[float, float] | None


def find_polynomial(config: Mapping[str, Any], *, class_name: str, pipeline: str, folders: list[Path]) -> Polynomial:
    """The polynomial for a model: the calibration beside its weights if there is one, else the published one.

    Args:
        config: the transformer's.
        class_name: the transformer's class, as the registry calls it.
        pipeline: the pipeline's class name, "" for a transformer alone.
        folders: where the model was loaded from, to look for a calibration.

    Raises:
        CoefficientsError: there is neither, or the calibration beside the weights is of another model.
    """
    for folder in folders:
        file = folder / CALIBRATION_FILE
        if file.is_file():
            return _polynomial_of(file, class_name)
    for published in PUBLISHED:
        if published.transformer == class_name and published.matches(config, pipeline):
            if published.borrowed_from:
                warnings.warn(
                    f"the polynomial for {published.variant} was fitted on {published.borrowed_from}; "
                    "teacache.calibrate(pipe, prompts) fits one on the model itself",
                    stacklevel=2,
                )
            return Polynomial(coefficients=published.coefficients, fitted_range=None)
    raise CoefficientsError(
        f"no coefficients are published for this {class_name}. Fit them: "
        "teacache.calibrate(pipe, prompts, num_inference_steps=28).save(folder of the model), "
        "or give TeaCacheConfig(coefficients=...)"
    )


def _polynomial_of(file: Path, class_name: str) -> Polynomial:
    calibration = Calibration.load(file)
    if calibration.denoiser != class_name:
        raise CoefficientsError(f"{file} was calibrated on {calibration.denoiser}, this model is a {class_name}")
    return Polynomial(coefficients=calibration.coefficients, fitted_range=calibration.fitted_range)
