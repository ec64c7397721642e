"""A tiny pipeline for every pipeline class that teacache's records name; one file per family."""

from __future__ import annotations

from collections.abc import Mapping

from tests.teacache.tiny import (
    auraflow,
    chroma,
    cogvideox,
    cogview,
    consisid,
    cosmos,
    easyanimate,
    flux,
    flux2,
    hidream,
    hunyuan,
    longcat,
    ltx,
    lumina2,
    lumina_next,
    mochi,
    ovis,
    pixart,
    qwenimage,
    sd3,
    skyreels,
    stable_audio,
    wan,
    z_image,
)
from tests.teacache.tiny.base import Tiny as Tiny

FAMILIES = (
    auraflow,
    chroma,
    cogvideox,
    cogview,
    consisid,
    cosmos,
    easyanimate,
    flux,
    flux2,
    hidream,
    hunyuan,
    longcat,
    ltx,
    lumina2,
    lumina_next,
    mochi,
    ovis,
    pixart,
    qwenimage,
    sd3,
    skyreels,
    stable_audio,
    wan,
    z_image,
)

TINY: Mapping[str, Tiny] = {name: tiny for family in FAMILIES for name, tiny in family.TINY.items()}
"""By the pipeline's class name."""
