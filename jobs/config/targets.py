"""How near cached pictures must come to uncached ones: `target: {psnr: 35}`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

DIALS = frozenset({"rel_l1_thresh", "order", "tolerance", "steps", "computed"})
"""The fields of `cache` that are found where a target is given; what else it says holds for all settings."""

LOWER_IS_BETTER = frozenset({"lpips"})


class Target(BaseModel):
    """Limits that the median over prompts must keep, each of the measures that are named."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    psnr: float | None = Field(default=None, gt=0, lt=100, description="at least so many dB to the uncached picture")
    ssim: float | None = Field(default=None, gt=0, le=1, description="at least, to the uncached picture")
    ms_ssim: float | None = Field(default=None, gt=0, le=1, description="at least; needs 176 pixels and more")
    lpips: float | None = Field(default=None, gt=0, description="at most; needs the package lpips")

    @model_validator(mode="after")
    def _names_one(self) -> Target:
        if not self.limits:
            raise ValueError("target names no measure; give one, as in target: {psnr: 35}")
        return self

    @property
    def limits(self) -> dict[str, float]:
        return {name: float(limit) for name, limit in self.model_dump(exclude_none=True).items()}

    def is_met(self, medians: Mapping[str, float]) -> bool:
        """By measure; one that was not measured meets nothing."""
        return all(name in medians and _keeps(name, medians[name], limit) for name, limit in self.limits.items())

    def __str__(self) -> str:
        signs = {name: "<=" if name in LOWER_IS_BETTER else ">=" for name in self.limits}
        return ", ".join(f"{name} {signs[name]} {limit:g}" for name, limit in self.limits.items())


def _keeps(name: str, value: float, limit: float) -> bool:
    return value <= limit if name in LOWER_IS_BETTER else value >= limit
