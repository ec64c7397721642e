"""Run one setting: which pictures come out, and how much the denoiser computed for them.

Compute is counted the same way for every method, whatever it skips (whole steps, some blocks, attention alone, a half
of the guidance): the multiplications that the denoiser's linear layers really did. Those hold nearly all of its
weights, and products of queries and keys come and go with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jobs.demo.recipe import Recipe
from tests.benchmarks.peers.setting import Setting

BATCH = 8
CAP = 100.0
"""Decibels that stand for equal pictures, and for the very nearly equal."""

Pictures = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Output:
    pictures: Pictures
    """(samples, [frames,] height, width, 3) in [0, 1], before they are rounded to bytes."""
    multiplications: int


def generate(pipe: Any, recipe: Recipe, captions: Sequence[str], steps: int) -> Output:
    """Sample number i has seed 1000 + i."""
    pictures = []
    with counting(pipe.transformer) as counts, torch.no_grad():
        for start in range(0, len(captions), BATCH):
            chunk = list(captions[start : start + BATCH])
            generators = [torch.Generator().manual_seed(1000 + start + offset) for offset in range(len(chunk))]
            pictures.append(pipe(chunk, num_inference_steps=steps, generator=generators, output_type="np",
                                 return_dict=False, **recipe.call)[0])  # fmt: skip
    return Output(np.concatenate(pictures).astype(np.float32), sum(counts))


@contextmanager
def counting(denoiser: nn.Module) -> Iterator[list[int]]:
    """Collects the multiplications of each call of each linear layer."""
    counts: list[int] = []

    def count(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        assert isinstance(layer, nn.Linear)
        counts.append(output.numel() * layer.in_features)

    handles = [layer.register_forward_hook(count) for layer in denoiser.modules() if isinstance(layer, nn.Linear)]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, slots=True)
class Reference:
    """The uncached run that all settings are compared with."""

    steps: int
    output: Output

    def compute(self, output: Output) -> float:
        """How many times fewer multiplications than uncached."""
        return self.output.multiplications / output.multiplications

    def psnr(self, pictures: Pictures) -> list[float]:
        """Sample by sample, in decibels, over all its frames."""
        errors = np.square(pictures.astype(np.float64) - self.output.pictures).reshape(len(pictures), -1).mean(1)
        return [min(CAP, float(-10 * np.log10(error))) if error else CAP for error in errors]


def measure(
    setting: Setting, pipe: Any, recipe: Recipe, captions: Sequence[str], reference: Reference
) -> dict[str, Any]:
    """What goes into the setting's file; a setting that the model or the method refuses has its error there."""
    row: dict[str, Any] = {"method": setting.method, "turned": setting.turned, "ours": setting.ours}
    try:
        with setting.on(pipe):
            output = generate(pipe, recipe, captions, setting.num_inference_steps or reference.steps)
    except Exception as error:  # whatever a peer raises is its line in the table
        return {**row, "error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"}
    values = reference.psnr(output.pictures)
    return {**row, "compute": reference.compute(output), "psnr": float(np.median(values)), "values": values}
