"""A file for each family of models: `MODELS`, a record for each transformer class, and `PUBLISHED`, its polynomials."""

from teacache.families import cogvideox, flux, lumina2, mochi

FAMILIES = (cogvideox, flux, lumina2, mochi)
