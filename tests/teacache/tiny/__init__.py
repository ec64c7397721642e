"""A tiny pipeline for every pipeline class that teacache's records name; one file per family."""

from __future__ import annotations

from collections.abc import Mapping

from tests.teacache.tiny import cogvideox, consisid, flux, hidream, ltx, lumina2, lumina_next, mochi, sd3, z_image
from tests.teacache.tiny.base import Tiny as Tiny

FAMILIES = (cogvideox, consisid, flux, hidream, ltx, lumina2, lumina_next, mochi, sd3, z_image)

TINY: Mapping[str, Tiny] = {name: tiny for family in FAMILIES for name, tiny in family.TINY.items()}
"""By the pipeline's class name."""
