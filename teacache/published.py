"""Published recipes, as data: polynomials, where they come from, and which checkpoint they are for."""

from __future__ import annotations

from teacache.families import FAMILIES
from teacache.models import Published

PUBLISHED: tuple[Published, ...] = tuple(entry for family in FAMILIES for entry in family.PUBLISHED)
"""The first whose conditions hold is taken."""
