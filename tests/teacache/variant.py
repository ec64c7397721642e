"""What a further pipeline of a known model has that the tiny pipeline of its sibling has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.teacache.tiny.base import Generate

BY_CALLS: Mapping[str, Any] = {"guidance": "calls"}
"""Guides in another call at each step, its sibling in a larger batch."""
ONE_SAMPLE: Mapping[str, Any] = {"batched": False}
IN_TWO_STAGES: Mapping[str, Any] = {"runs": 2, "independent": False}
"""As Helios' pyramid; what a stage begins with is drawn for all samples at once."""


def no_parts(pipe: Any) -> dict[str, Any]:
    return {}


def nothing(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a pipeline has that its sibling has not."""

    sibling: str
    """The pipeline class in `TINY` whose parts and arguments it takes."""
    parts: Callable[[Any], Mapping[str, Any]] = no_parts
    """From the sibling: other parts, in the place of its own or beside them."""
    given: Callable[[Sequence[int], int, int], dict[str, Any]] = nothing
    """Further arguments of a call, from seeds, height and width."""
    drops: tuple[str, ...] = ()
    """Arguments of the sibling's that it does not take."""
    make: Callable[[], Any] | None = None
    """In the place of one that is made of the sibling's parts."""
    blocks: Callable[[], Any] | None = None
    """Of a modular pipeline: those from embeddings to latents."""
    generate: Generate | None = None
    """In the place of the sibling's."""
    guided: bool = True
    """Whether it has guidance that can be turned on."""
    differs: Mapping[str, Any] = field(default_factory=dict)
    """Of the sibling's `Tiny`, what is otherwise here."""
    size: tuple[int, int] = (16, 16)
    patches: Mapping[str, Any] = field(default_factory=dict)
    """What is too large in diffusers, or not there, by its full name."""
    attributes: Callable[[Any], Mapping[str, Any]] = no_parts
    """From the pipeline, by name, attributes that it gets: what is too large in it, or reads texts and pictures with
    models that are not there."""
