"""A file for each family of models: `MODELS`, a record for each transformer class, and `PUBLISHED`, its polynomials."""

from teacache.families import cogvideox, consisid, flux, hidream, ltx, lumina2, lumina_next, mochi, sd3, z_image

FAMILIES = (cogvideox, consisid, flux, hidream, ltx, lumina2, lumina_next, mochi, sd3, z_image)
