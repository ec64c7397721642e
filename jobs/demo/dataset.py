"""A set of captioned scenes, drawn when needed: what the demo models are trained and judged on.

One caption in eight is set aside by its hash: no model ever sees those in training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8]


class Captioned(Protocol):
    @property
    def caption(self) -> str: ...


S = TypeVar("S", bound=Captioned)


def is_held_out(caption: str) -> bool:
    """Whether the caption is kept from training: one in eight, by hash, the same on every machine."""
    return hashlib.sha256(caption.encode()).digest()[0] < 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Generic[S]):
    """Every scene there is, in a fixed order, and how one is drawn.

    `render(scene, rng)` gives a picture (SIDE, SIDE, 3) or a video (FRAMES, SIDE, SIDE, 3).
    """

    kind: Literal["pictures", "videos"]
    scenes: tuple[S, ...]
    render: Callable[[S, np.random.Generator], Pixels]

    def training(self) -> tuple[S, ...]:
        return tuple(scene for scene in self.scenes if not is_held_out(scene.caption))

    def held_out(self, count: int, *, seed: int) -> list[S]:
        """`count` different scenes whose captions no training has seen, drawn at random by `seed`."""
        scenes = [scene for scene in self.scenes if is_held_out(scene.caption)]
        order = np.random.default_rng(seed).permutation(len(scenes))[:count]
        return [scenes[index] for index in order]

    def draw(self, scenes: Sequence[S], rng: np.random.Generator) -> Tensor:
        """Rendered scenes in [-1, 1]: pictures (N, 3, SIDE, SIDE), or videos (N, 3, FRAMES, SIDE, SIDE)."""
        stacked = torch.from_numpy(np.stack([self.render(scene, rng) for scene in scenes]))
        return stacked.movedim(-1, 1).float().div(127.5).sub(1.0)
