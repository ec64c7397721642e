"""Published recipes, as data: polynomials, where they come from, and which checkpoint they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A polynomial that its authors fitted on one checkpoint, and how they use it."""

    name: str
    transformer: str
    coefficients: tuple[float, ...]
    """Highest degree first."""
    source: str
    config: Mapping[str, Any] | None = field(default_factory=dict)
    """What tells the checkpoint: fields of the transformer's config. None: nothing does, it is taken by name only."""
    pipeline: str = ""
    """A part of the pipeline's class name that tells it, where the config does not."""
    denoisers: int | None = None
    """How many denoisers its pipeline has, where that tells it."""
    indicator: str = ""
    """The model's indicator that was fitted; "" its default."""
    first: int | float = 1
    """The steps at the start of a run that are always computed; a fraction is of the number of steps."""
    last: bool = True
    """Whether the last step is always computed."""
    num_inference_steps: int | None = None
    """The number of steps that it was fitted or published with, where its authors say so."""
    resolution: str = ""
    fitted_range: tuple[float, float] | None = None
    borrowed_from: str = ""
    """The checkpoint that the digits were really fitted on, where it is another one."""


_FLUX_1 = {"num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24}
_FLUX_DEV = (4.98651651e02, -2.83781631e02, 5.58554382e01, -3.82021401e00, 2.64230861e-01)
_OFFICIAL = "ali-vilab/TeaCache"
_COMFY = "welltop-cn/ComfyUI-TeaCache, nodes.py"
_MLX = "IonDen/mlx-teacache"

PUBLISHED: tuple[Published, ...] = (
    Published(
        name="FLUX.1-Kontext-dev",
        transformer="FluxTransformer2DModel",
        config=_FLUX_1,
        pipeline="Kontext",
        coefficients=(-1.04655119e03, 3.12563399e02, -1.69500694e01, 4.10995971e-01, 3.74537863e-02),
        source=_COMFY,
    ),
    Published(
        name="FLUX.1-dev",
        transformer="FluxTransformer2DModel",
        config={**_FLUX_1, "guidance_embeds": True, "in_channels": 64},
        coefficients=_FLUX_DEV,
        source=f"{_OFFICIAL}, TeaCache4FLUX/teacache_flux.py",
        num_inference_steps=28,
        resolution="1024x1024",
    ),
    Published(
        name="FLUX.1-Krea-dev",
        transformer="FluxTransformer2DModel",
        config=None,
        coefficients=(24.18037744588824, -45.41912128506917, 26.20213376107934, -3.579234954660995,
                      0.40140693642366004),
        source=_MLX,
        num_inference_steps=28,
    ),
    Published(
        name="FLUX.1-Fill, Canny or Depth",
        transformer="FluxTransformer2DModel",
        config={**_FLUX_1, "guidance_embeds": True},
        coefficients=_FLUX_DEV,
        source=f"{_OFFICIAL}, TeaCache4FLUX/teacache_flux.py",
        borrowed_from="FLUX.1-dev",
    ),
    Published(
        name="FLUX.1-schnell",
        transformer="FluxTransformer2DModel",
        config=_FLUX_1,
        coefficients=_FLUX_DEV,
        source=f"{_OFFICIAL}, TeaCache4FLUX/teacache_flux.py",
        borrowed_from="FLUX.1-dev",
    ),
    Published(
        name="mochi-1-preview",
        transformer="MochiTransformer3DModel",
        config={"num_layers": 48, "num_attention_heads": 24},
        coefficients=(-3.51241319e03, 8.11675948e02, -6.09400215e01, 2.42429681e00, 3.05291719e-03),
        source=f"{_OFFICIAL}, TeaCache4Mochi",
        num_inference_steps=64,
        resolution="480x848, 163 frames",
    ),
)  # fmt: skip
"""The first whose conditions hold is taken."""
