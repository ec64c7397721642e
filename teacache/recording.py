"""What a calibration keeps of an uncached run: numbers, never a whole tensor.

For the polynomial the relative L1 changes between consecutive steps. For the schedules the inner products of all
pairs of residuals: with them the error of any line through two residuals at any third step is known. The inner products
are taken over a fixed random choice of at most `SKETCH` entries of each residual, the only thing kept in memory while
a run lasts: steps x SKETCH x 4 bytes per branch, 7 MiB for 28 steps, whatever the size of the model and its output. The
same, once more, of the outputs that the scheduler gets.
(FLUX at 1024x1024 has residuals of 4096 x 3072 entries; beside the pipeline itself a calibration needs the residual,
the stack's output and the indicator of two steps, 6 x 24 MiB in bfloat16.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from teacache.policies import Computed, Decision, Moment
from teacache.rows import row_norms
from teacache.scheduler_steps import changed
from teacache.sensitivity import result_gains

SKETCH = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One guidance branch of one uncached run through one denoiser."""

    prompt: int
    denoiser: str
    """The attribute of the pipeline that holds it."""
    branch: str
    first_step: int
    """The scheduler's index of the first step."""
    indicator: tuple[float, ...]
    """Relative L1 changes between consecutive steps: one less than there are steps."""
    output: tuple[float, ...]
    """The same of the stack's output."""
    residual: tuple[float, ...]
    """The same of the residual."""
    products: tuple[tuple[float, ...], ...]
    """Inner products of the residuals of each pair of steps, (steps, steps)."""
    norms: tuple[float, ...]
    """Squared norms of the stack's output at each step, over the same entries."""
    sensitivities: tuple[float, ...]
    """How much the scheduler lets each step of the run move the sample; empty where it does not tell."""
    gains: tuple[float, ...] = ()
    """How far each output that the scheduler got moved the run's result; empty where it is not linear in them."""
    outputs: tuple[tuple[float, ...], ...] = ()
    """Inner products of the sample that the run starts from and of those outputs, which hold the guidance, each with
    each: (1 + steps, 1 + steps)."""

    @property
    def steps(self) -> int:
        return len(self.norms)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recording:
        """From what `dataclasses.asdict` made, also after a way through JSON, which is exact."""
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list | tuple)}
        return cls(**{**data, **lists, "products": tuple(map(tuple, data["products"])),
                      "outputs": tuple(map(tuple, data["outputs"]))})  # fmt: skip


class Sketch:
    """The same random entries of tensors of one size, all where there are few."""

    def __init__(self) -> None:
        self._entries: Tensor | None = None

    def __call__(self, tensor: Tensor) -> Tensor:
        flat = tensor.detach().flatten()
        if self._entries is None and len(flat) > SKETCH:
            generator = torch.Generator().manual_seed(0)
            self._entries = torch.randint(len(flat), (SKETCH,), generator=generator).to(flat.device)
        return (flat.clone() if self._entries is None else flat[self._entries]).float()


class SchedulerOutputs:
    """Listens to a scheduler for one run: what it gets at each step."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._sketch = Sketch()
        self._start = torch.empty(0)
        self._sketches: list[Tensor] = []

    def heard(self) -> AbstractContextManager[None]:
        def listen(output: Tensor, sample: Tensor) -> Tensor:
            if not self._sketches:
                self._start = self._sketch(sample)
            self._sketches.append(self._sketch(output))
            return output

        return changed(self._scheduler, listen)

    def of(self, recording: Recording) -> Recording:
        """The recording with the outputs of its steps, once the run is over; as it is where they can't be told."""
        gains = result_gains(self._scheduler)
        if len(gains) != len(self._sketches) or len(self._start) != len(self._sketches[0]):
            return recording
        steps = slice(recording.first_step, recording.first_step + recording.steps)
        sketches = torch.stack([self._start, *self._sketches[steps]]).double()
        return replace(recording, gains=gains[steps], outputs=tuple(map(tuple, (sketches @ sketches.T).tolist())))


class Recorder:
    """A policy that computes every step and remembers how indicator, output and residual of the hidden states
    changed."""

    skips = True  # nothing is, but only then is it told what was computed

    def __init__(self, sensitivities: Sequence[float]) -> None:
        self.sensitivities = tuple(sensitivities)
        self.first_step = 0
        self.changes: list[list[float]] = []
        self._sketches: list[Tensor] = []
        self._norms: list[float] = []
        self._sketch = Sketch()
        self._indicator: Tensor | None = None
        self._before: tuple[Tensor, ...] = ()

    def decide(self, moment: Moment) -> Decision:
        if not self._norms:
            self.first_step = moment.step
        self._indicator = moment.indicator().clone()  # the model may write into its own, here and below
        return Decision.uniform(True, moment.ties.size)

    def observe(self, computed: Computed) -> None:
        assert self._indicator is not None
        stream = computed.streams[0]
        output = stream.output.clone()
        now = (self._indicator, output, stream.residual)
        if self._before:
            self.changes.append([_relative_l1(*pair) for pair in zip(now, self._before, strict=True)])
        self._before = now
        self._sketches.append(self._sketch(stream.residual))
        self._norms.append(self._sketch(output).double().square().sum().item())

    def recording(self, *, prompt: int, denoiser: str, branch: str) -> Recording:
        """What was seen; lets go of the sketches."""
        sketches, self._sketches, self._before = torch.stack(self._sketches).double(), [], ()
        changes = [tuple(row[column] for row in self.changes) for column in range(3)]
        return Recording(
            prompt=prompt,
            denoiser=denoiser,
            branch=branch,
            first_step=self.first_step,
            indicator=changes[0],
            output=changes[1],
            residual=changes[2],
            products=tuple(map(tuple, (sketches @ sketches.T).tolist())),
            norms=tuple(self._norms),
            sensitivities=self.sensitivities,
        )


def _relative_l1(current: Tensor, previous: Tensor) -> float:
    """mean|current - previous| / mean|previous|: eq. 4 of the paper, with the earlier step below the line."""
    above, below = (row_norms(tensor.unsqueeze(0)).item() for tensor in (current - previous, previous))
    return above / below
