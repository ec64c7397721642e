"""Text of others on a page: HTML's own marks are escaped by the templates, what nobody can see is made visible here."""

from __future__ import annotations

import unicodedata

# They reorder or hide what stands around them; joiners, which emoji and some scripts need, are left alone.
_HIDDEN = frozenset("\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")

LONGEST = 400


def visible(text: str | None) -> str:
    """The text on one line, at most 400 characters, with control and direction marks as `\\u202e`."""
    if text is None:
        return "(null)"
    shown = "".join(_shown(character) for character in text[: LONGEST + 1])
    return shown if len(text) <= LONGEST else f"{shown} ... ({len(text):,} characters)"


def _shown(character: str) -> str:
    if character in "\n\t\r":
        return " "
    if character in _HIDDEN or unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn"):
        code = ord(character)
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character
