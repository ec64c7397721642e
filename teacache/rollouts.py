"""Measure schedules: the weights with which what a schedule computes stands for all of a run.

Some prompts run uncached, in one call, and then under schedules: for each number of computed steps some lists
that `quadrature.py` proposes, of which the best stays. In such a run what the scheduler gets
is made of what is known so far: the sample that the run started from and, of every computed step, the guided output and
the answers of the guidance branches. At every step they get the weights that bring what has been added up, each output
times its gain, nearest to the uncached runs' true sum, by least squares over the prompts. So a skipped step passes on a
weighted sum, and a computed step its own output corrected by what it tells about the skipped ones before. As the
outputs are those that the schedule's own run gives, which starts each step a little beside the true one, the weights
allow for that as well. Solvers with coefficients fitted to their steps go the same way: Shaul et al., "Bespoke
Non-Stationary Solvers", 2024, arXiv 2403.01329.

The sample matters where the denoiser's output holds it (v-prediction), the branches where the guided output is not
linear in them (Lumina2 scales it to the conditional one's norm).

Memory beside the call itself: the terms of the computed steps, and sketches (`recording.py`) of all outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from teacache.branches import UNCACHED
from teacache.cache import with_method
from teacache.outputs import Terms, weighted_sum
from teacache.quadrature import Outputs, candidates
from teacache.recording import Sketch
from teacache.scheduler_steps import changed
from teacache.scheduling import Schedule

RATIOS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 14.0, 17.0, 25.0)
"""Of all steps to the computed ones, where nobody says which schedules to measure."""

_RIDGE = 1e-6  # of the terms' mean square: how much weights are drawn to passing on the last output as it is


def default_counts(steps: int) -> list[int]:
    return sorted({max(2, round(steps / ratio)) for ratio in RATIOS if steps > 2})


def measure(pipe: Any, prompts: Sequence[str], outputs: Outputs, counts: Sequence[int], *,
            seeds: Sequence[int], **call: Any) -> tuple[Schedule, ...]:  # fmt: skip
    """One schedule for each number of computed steps, with weights; none where the run is not the scheduler's whole.

    Args:
        outputs: what uncached runs told; `counts` of their steps are chosen from them.
        seeds: of the prompts.
        call: the pipeline's other arguments.
    """
    truth = _Truth()

    def run() -> None:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        pipe(list(prompts), generator=generators, output_type="latent", **call)

    with changed(pipe.scheduler, truth.hear):
        run()
    if outputs.first_step != 0 or len(truth.sketches) != len(outputs.gains):
        return ()

    def measured(steps: tuple[int, ...]) -> Schedule:
        fitting = Fitting(steps, outputs.gains, truth)
        with with_method(pipe, lambda name, progress: replace(UNCACHED, supply=lambda total: fitting)):
            run()
        return Schedule(steps=steps, error=fitting.error, weights=tuple(fitting.rows))

    lists = [sorted(candidates(outputs, count)) for count in counts]
    return tuple(min(map(measured, each), key=lambda schedule: schedule.error) for each in lists)


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

    def __init__(self, steps: tuple[int, ...], gains: Sequence[float], truth: _Truth) -> None:
        self.steps = steps
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

    def pass_on(self, step: int, output: Tensor, answers: Sequence[Any], sample: Tensor, *, computed: bool) -> Tensor:
        """What the scheduler is to get at a step."""
        gain, whole = self._gains[step], self._terms.steps == list(range(step))
        self._due = self._due + gain * self._truth.sketches[step].cpu()
        if computed:
            self._terms.begin(sample)
            self._terms.add(step, output, answers)
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
