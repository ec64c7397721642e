"""Measure schedules: the weights with which what a schedule computes stands for all of a run.

Some prompts run uncached, in one call, and then under schedules: for each number of computed steps some lists that
`quadrature.py` proposes and some near the best of them, of which the best stays. In such a run what the scheduler gets
is made of what is known so far: the sample that the run started from and, of every computed step, the guided output and
the answers of the guidance branches. At every step they get the weights that bring what has been added up, each output
times its gain, nearest to the uncached runs' true sum, by least squares over the prompts. So a skipped step passes on a
weighted sum, and a computed step its own output corrected by what it tells about the skipped ones before. As the
outputs are those that the schedule's own run gives, which starts each step a little beside the true one, the weights
allow for that as well. Solvers with coefficients fitted to their steps go the same way: Shaul et al., "Bespoke
Non-Stationary Solvers", 2024, arXiv 2403.01329.

The sample matters where the denoiser's output holds it (v-prediction), the branches where the guided output is not
linear in them (Lumina2 scales it to the conditional one's norm).

Memory beside the call itself: the terms of the computed steps, sketches (`recording.py`) of all outputs, and two sets
of the prompts' pictures or videos on the host.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from teacache.branches import UNCACHED
from teacache.cache import denoisers_of, with_method
from teacache.outputs import Terms, parts_of, weighted_sum
from teacache.quadrature import Outputs, Steps, candidates, descend
from teacache.recording import Sketch
from teacache.registry import model_for
from teacache.scheduler_steps import changed
from teacache.scheduling import Schedule

RATIOS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 14.0, 17.0, 25.0)
"""Of all steps to the computed ones, where nobody says which schedules to measure."""

_RIDGE = 1e-6  # of the terms' mean square: how much weights are drawn to passing on the last output as it is


def default_counts(steps: int) -> list[int]:
    return sorted({max(2, round(steps / ratio)) for ratio in RATIOS if steps > 2})


def measure(pipe: Any, prompts: Sequence[str], outputs: Outputs, counts: Sequence[int], *,
            seeds: Sequence[int], **call: Any) -> tuple[Schedule, ...]:  # fmt: skip
    """Schedules for each number of computed steps, with weights; none where the run is not the scheduler's whole.

    Where guidance has several calls, there is also one per number whose first step is unguided: at all noise the
    unconditional answer tells next to nothing beyond the noise. (Only up to a quarter of the steps: half a step of more
    is little.)

    Args:
        outputs: what uncached runs told; `counts` of their steps are chosen from them.
        seeds: of the prompts.
        call: the pipeline's other arguments.
    """
    runs = _Runs(pipe, prompts, seeds, call)
    if outputs.first_step != 0 or len(runs.truth.sketches) != len(outputs.gains):
        return ()
    found: list[Schedule] = []
    remembers = any(model_for(denoiser).memory for denoiser in denoisers_of(pipe))
    for count in counts:
        guided = runs.search(outputs, candidates(outputs, count))
        found.append(guided)
        if runs.calls == guided.branches > 1 and not remembers and 4 * count <= len(outputs.gains):
            found.append(runs.search(outputs, {guided.steps}, unguided=True))
    return tuple(found)


class _Runs:
    """Runs of the same prompts, uncached first, then under schedules."""

    def __init__(self, pipe: Any, prompts: Sequence[str], seeds: Sequence[int], call: Mapping[str, Any]) -> None:
        self._pipe, self._prompts, self._seeds, self._call = pipe, list(prompts), seeds, call
        self._kind = "latent" if getattr(pipe, "vae", None) is None else "np"
        self.truth = _Truth()
        self.calls = 1
        """Of the denoiser at a step."""
        with changed(pipe.scheduler, self.truth.hear):
            self._uncached = self._run()

    def search(self, outputs: Outputs, starts: Collection[Steps], *, unguided: bool = False) -> Schedule:
        """The best of some lists, and of those near it: as many as together compute as much as one uncached run.

        The pictures tell which is the best: the geometric mean over samples of their squared errors, as decibels are
        averaged. The least error of the latents is not theirs.
        """
        found: dict[Steps, tuple[float, Schedule]] = {}

        def error_of(steps: Steps) -> float:
            if steps not in found:
                found[steps] = self._under(steps, steps[:1] if unguided else (), outputs.gains)
            return found[steps][0]

        start, count = min(sorted(starts), key=error_of), len(outputs.gains)
        far = max(1, round(count / len(start) / 5))
        moves = dict.fromkeys((-far, far, -max(1, far // 2), max(1, far // 2)))
        return found[descend(error_of, start, count, tuple(moves), max(1, count // len(start) - len(starts) + 1))][1]

    def _under(self, steps: Steps, unguided: Steps, gains: Sequence[float]) -> tuple[float, Schedule]:
        """The pictures' error under a schedule that is fitted on the way, and that."""
        fitting = Fitting(steps, gains, self.truth, unguided)
        with with_method(self._pipe, lambda name, progress: replace(UNCACHED, supply=lambda total: fitting)):
            pictures = self._run()
        self.calls = fitting.calls
        squares = [np.square(one - other).mean() for one, other in zip(pictures, self._uncached, strict=True)]
        error = float(np.exp(np.log(np.array(squares) + 1e-12).mean()))
        schedule = Schedule(steps=steps, error=fitting.error, weights=tuple(fitting.rows), branches=fitting.branches,
                            unguided=unguided)  # fmt: skip
        return error if np.isfinite(error) else float("inf"), schedule

    def _run(self) -> NDArray[np.float32]:
        """The pictures or videos of all prompts, samples first; latents where the pipeline has no decoder."""
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in self._seeds]
        made = self._pipe(prompt=self._prompts, generator=generators, return_dict=False,
                          **{"output_type": self._kind, **self._call})[0]  # fmt: skip
        return np.asarray(made.float().cpu() if isinstance(made, Tensor) else made, dtype=np.float32)


class _Truth:
    """The outputs of the uncached runs."""

    def __init__(self) -> None:
        self.sketch = Sketch()
        self.sketches: list[Tensor] = []

    def hear(self, output: Tensor, sample: Tensor) -> Tensor:
        self.sketches.append(self.sketch(output).double())
        return output


class Fitting:
    """Supplies a run's scheduler: finds the weights of each step when it comes, and passes on what they make."""

    def __init__(self, steps: Steps, gains: Sequence[float], truth: _Truth,
                 unguided: Steps = ()) -> None:  # fmt: skip
        self.steps, self._unguided = steps, unguided
        self.branches = self.calls = 1
        """Of the denoiser at a step, and how many calls they are in; guidance may end before the run."""
        self.rows: list[tuple[float, ...]] = []
        self.error = 0.0
        self._gains, self._truth = gains, truth
        self._terms = Terms()
        self._sketches: list[Tensor] = []
        self._due = torch.zeros(())
        self._passed_on = torch.zeros(0, dtype=torch.double)
        """How much each term has been passed on so far, times the gains."""

    def skips(self, step: int) -> bool:
        """Whether the denoiser need not run at a step."""
        return step not in self.steps

    def unguided(self, step: int) -> bool:
        """Whether only the first guidance branch need run at a step."""
        return step in self._unguided

    def pass_on(self, step: int, output: Tensor, answers: Sequence[Any], sample: Tensor, *, computed: bool) -> Tensor:
        """What the scheduler is to get at a step."""
        gain, whole = self._gains[step], self._terms.steps == list(range(step))
        self._due = self._due + gain * self._truth.sketches[step].cpu()
        if computed:
            parts = parts_of(output, answers)
            self.branches, self.calls = max(self.branches, len(parts)), max(self.calls, len(answers))
            self._terms.begin(sample)
            self._terms.add(step, output, () if self.unguided(step) else parts)
            new = self._terms.tensors[len(self._sketches) :]
            self._sketches += [self._truth.sketch(term).double().cpu() for term in new]
            self._passed_on = torch.cat([self._passed_on, torch.zeros(len(new), dtype=torch.double)])
        row = torch.zeros(len(self._sketches), dtype=torch.double)
        row[self._terms.outputs[-1]] = 1.0
        terms = torch.stack(self._sketches)
        if not (whole and computed) and abs(gain) > 1e-6 * max(map(abs, self._gains)):
            missing = self._due - (self._passed_on + gain * row) @ terms
            row = row + _least_squares(terms, missing) / gain
        self._passed_on = self._passed_on + gain * row
        self.rows.append(tuple(row.tolist()))
        self.error = float((self._due - self._passed_on @ terms).norm() / self._due.norm())
        return weighted_sum(row.tolist(), self._terms.tensors, like=output)


def _least_squares(vectors: Tensor, target: Tensor) -> Tensor:
    products = vectors @ vectors.T
    ridge = _RIDGE * products.trace() / len(products) * torch.eye(len(products), dtype=torch.double)
    found: Tensor = torch.linalg.solve(products + ridge, vectors @ target)
    return found
