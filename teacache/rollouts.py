"""Measure schedules: the weights with which a schedule's computed outputs stand for all of a run's.

Some prompts run uncached, in one call, and then under schedules: for each number of computed steps the list that
`quadrature.py` chooses and the one of even distances, of which the better stays. In such a run what the scheduler gets
is made of the outputs computed so far: at every step with the weights that bring what has been added up, each output
times its gain, nearest to the uncached runs' true sum, by least squares over the prompts. So a skipped step passes on a
weighted sum, and a computed step its own output corrected by what it tells about the skipped ones before. As the
outputs are those that the schedule's own run gives, which starts each step a little beside the true one, the weights
allow for that as well. Solvers with coefficients fitted to their steps go the same way: Shaul et al., "Bespoke
Non-Stationary Solvers", 2024, arXiv 2403.01329.

Memory beside the call itself: one output per computed step, and sketches (`recording.py`) of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from teacache.cache import enabled
from teacache.configs import ScheduleConfig
from teacache.outputs import weighted_sum
from teacache.quadrature import Outputs, choose_steps, even_steps
from teacache.recording import Sketch
from teacache.scheduling import Schedule

RATIOS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 14.0)
"""Of all steps to the computed ones, where nobody says which schedules to measure."""

_RIDGE = 1e-6  # of the outputs' mean square: how much weights are drawn to passing on the last output as it is


def default_counts(steps: int) -> list[int]:
    return sorted({max(2, round(steps / ratio)) for ratio in RATIOS if steps > 2})


def measure(pipe: Any, prompts: Sequence[str], outputs: Outputs, counts: Sequence[int], *, seed: int,
            **call: Any) -> tuple[Schedule, ...]:  # fmt: skip
    """One schedule for each number of computed steps, with weights; none where the run is not the scheduler's whole.

    Args:
        outputs: what uncached runs told; `counts` of their steps are chosen from them.
        seed: prompt number i runs with seed + i.
        call: the pipeline's other arguments.
    """

    def run(change: Callable[[int, Tensor], Tensor]) -> None:
        generators = [torch.Generator("cpu").manual_seed(seed + number) for number in range(len(prompts))]
        with _between_denoiser_and(pipe.scheduler, change):
            pipe(list(prompts), generator=generators, output_type="latent", **call)

    truth = _Truth()
    run(truth)
    if outputs.first_step != 0 or len(truth.sketches) != len(outputs.gains):
        return ()

    def measured(steps: tuple[int, ...]) -> Schedule:
        fitting = _Fitting(steps, outputs.gains, truth)
        with enabled(pipe, ScheduleConfig(steps=steps, order=0)):
            run(fitting)
        return Schedule(steps=steps, error=fitting.error, weights=tuple(fitting.rows))

    lists = [{choose_steps(outputs, count), even_steps(len(outputs.gains), count)} for count in counts]
    return tuple(min(map(measured, sorted(each)), key=lambda schedule: schedule.error) for each in lists)


@contextmanager
def _between_denoiser_and(scheduler: Any, change: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
    step, calls = scheduler.step, iter(range(1_000_000))

    def changed(model_output: Tensor, *args: Any, **kwargs: Any) -> Any:
        return step(change(next(calls), model_output), *args, **kwargs)

    scheduler.step = changed
    try:
        yield
    finally:
        del scheduler.step


class _Truth:
    """The outputs of the uncached runs."""

    def __init__(self) -> None:
        self.sketch = Sketch()
        self.sketches: list[Tensor] = []

    def __call__(self, step: int, output: Tensor) -> Tensor:
        self.sketches.append(self.sketch(output).double())
        return output


class _Fitting:
    """Finds the weights of each step when it comes, and passes on what they make."""

    def __init__(self, steps: tuple[int, ...], gains: Sequence[float], truth: _Truth) -> None:
        self.steps = steps
        self.rows: list[tuple[float, ...]] = []
        self.error = 0.0
        self._gains, self._truth = gains, truth
        self._known: list[Tensor] = []
        self._sketches: list[Tensor] = []
        self._due = torch.zeros(())
        self._passed_on = torch.zeros(0, dtype=torch.double)
        """How much each computed output has been passed on so far, times the gains."""

    def __call__(self, step: int, output: Tensor) -> Tensor:
        gain, whole = self._gains[step], len(self._known) == step
        self._due = self._due + gain * self._truth.sketches[step].cpu()
        if step in self.steps:
            self._known.append(output)
            self._sketches.append(self._truth.sketch(output).double())
            self._passed_on = torch.cat([self._passed_on, torch.zeros(1, dtype=torch.double)])
        row = torch.zeros(len(self._known), dtype=torch.double)
        row[-1] = 1.0
        computed = torch.stack(self._sketches).cpu()
        if not (whole and step in self.steps) and abs(gain) > 1e-6 * max(map(abs, self._gains)):
            missing = self._due - (self._passed_on + gain * row) @ computed
            row = row + _least_squares(computed, missing) / gain
        self._passed_on = self._passed_on + gain * row
        self.rows.append(tuple(row.tolist()))
        self.error = float((self._due - self._passed_on @ computed).norm() / self._due.norm())
        return weighted_sum(row.tolist(), self._known)


def _least_squares(vectors: Tensor, target: Tensor) -> Tensor:
    products = vectors @ vectors.T
    ridge = _RIDGE * products.trace() / len(products) * torch.eye(len(products), dtype=torch.double)
    found: Tensor = torch.linalg.solve(products + ridge.to(products), vectors @ target)
    return found.cpu()
