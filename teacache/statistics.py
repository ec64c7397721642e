"""What a cache did, as immutable data that adds up and survives JSON exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStats:
    """One guidance branch of one run (a pipeline call, for instance) through one denoiser."""

    denoiser: str
    """The transformer's class name."""
    branch: str
    """The pipeline's cache_context, or the ordinal of the call at its timestep ("0", "1") where it enters none."""
    rows: int
    """Of the batch: more than samples where guidance runs as one batch, or where samples are the same in everything."""
    computed: tuple[tuple[bool, ...], ...]
    """Sample by sample, step by step: were the blocks computed?"""
    distances: tuple[tuple[float | None, ...], ...]
    """Sample by sample, step by step: the indicator's relative L1 change, None where none was measured."""
    block_seconds: float
    """Seconds between the first block's start and the last one's end, over all steps."""
    seconds: float
    """Seconds in the denoiser's forward, over all steps."""

    @property
    def batch_size(self) -> int:
        """Samples; the two halves of guidance in one batch are one sample."""
        return len(self.computed)

    @property
    def steps(self) -> int:
        """Steps of all samples."""
        return sum(map(len, self.computed))

    @property
    def skipped(self) -> int:
        return self.steps - sum(map(sum, self.computed))

    def sample(self, row: int) -> CallStats:
        """The part of the sample that a row of the batch belongs to, which takes an equal share of the seconds.

        Raises:
            IndexError: the batch has no such row.
        """
        if not 0 <= row < self.rows:
            raise IndexError(f"the batch has rows 0 to {self.rows - 1}, got {row}")
        index = row % self.batch_size
        return replace(
            self,
            rows=self.rows // self.batch_size,
            computed=(self.computed[index],),
            distances=(self.distances[index],),
            block_seconds=self.block_seconds / self.batch_size,
            seconds=self.seconds / self.batch_size,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The finished calls, oldest first. `Stats()` is zero, `+` joins."""

    calls: tuple[CallStats, ...] = ()

    @property
    def steps(self) -> int:
        """Denoiser steps, over all samples and guidance branches."""
        return sum(call.steps for call in self.calls)

    @property
    def computed(self) -> int:
        """Those of them whose blocks ran."""
        return self.steps - self.skipped

    @property
    def skipped(self) -> int:
        return sum(call.skipped for call in self.calls)

    @property
    def seconds(self) -> float:
        """Seconds in the denoiser's forward."""
        return sum(call.seconds for call in self.calls)

    @property
    def block_seconds(self) -> float:
        """Seconds in the blocks, of those in the forward."""
        return sum(call.block_seconds for call in self.calls)

    def sample(self, row: int) -> Stats:
        """The same for all calls.

        Raises:
            IndexError: the batch of a call has no such row.
        """
        return Stats(calls=tuple(call.sample(row) for call in self.calls))

    def __add__(self, other: Stats) -> Stats:
        return Stats(calls=self.calls + other.calls)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stats:
        calls = []
        for call in data["calls"]:
            lists = {name: tuple(map(tuple, call[name])) for name in ("computed", "distances")}
            calls.append(CallStats(**{**call, **lists}))
        return cls(calls=tuple(calls))
