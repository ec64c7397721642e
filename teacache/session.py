"""One denoiser with a cache on: takes every call to its run and branch, and keeps the statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from teacache.policies import Always, Decision, Policy
from teacache.predictors import Extrapolation
from teacache.statistics import Stats
from teacache.trajectories import Branch, Progress, Run


class Call:
    """One call to the denoiser's forward, from its start to its end."""

    __slots__ = ("branch", "compute", "entered", "last", "stack_input")

    def __init__(self, branch: Branch, *, last: bool) -> None:
        self.branch = branch
        self.last = last
        self.entered = False
        self.compute = True
        self.stack_input: Tensor | None = None

    def enter_stack(self, stack_input: Tensor, indicator: Callable[[], Tensor]) -> bool:
        """The first block is about to run: decide. Returns whether the blocks are computed in this call."""
        self.entered = True
        self.branch.block_time.start()
        self.stack_input = stack_input
        self.compute = self.branch.decide(stack_input, self.last, indicator)
        return self.compute

    def leave_stack(self, stack_output: Tensor | None) -> Tensor:
        """The last block has run, or was skipped (`None`). Returns the stack's output."""
        assert self.stack_input is not None
        output = self.branch.stand_in(self.stack_input) if stack_output is None else stack_output
        if stack_output is not None:
            self.branch.keep(self.stack_input, stack_output)
        self.stack_input = None
        self.branch.block_time.stop()
        return output


class Session:
    """Runs, branches and statistics of one denoiser.

    A run counts in the statistics once it is finished: at its last step where the number of steps is known, otherwise
    when the next one starts or the statistics are asked for. A run that stopped before its known end never counts.
    """

    def __init__(self, denoiser: str, progress: Progress, new_policy: Callable[[], Policy], *, order: int = 0) -> None:
        self._denoiser = denoiser
        self._progress = progress
        self._new_policy = new_policy
        self._order = order
        self._finished = Stats()
        self._run: Run | None = None
        self._paused = False
        self.call: Call | None = None
        """The call to the denoiser's forward that is going on now."""

    @contextmanager
    def forward(self, timestep: Any, context: str | None, device: torch.device) -> Iterator[None]:
        """Around one call to the denoiser. After an exception inside, the run is forgotten."""
        call = self.call = self._begin(timestep, context, device)
        call.branch.forward_time.start()
        try:
            yield
        except BaseException:
            self.discard()
            raise
        finally:
            self.call = None
        call.branch.forward_time.stop()
        if not call.entered:
            call.branch.decisions.append(Decision(compute=True))
        if call.last:
            call.branch.release()

    def _begin(self, timestep: Any, context: str | None, device: torch.device) -> Call:
        repeats = self._run is not None and context is not None and context in self._run.called
        place = self._progress.place(timestep, repeats=repeats)
        if place.starts or self._run is None:
            self._close()
            self._run = Run()
        run = self._run
        if place.moves:
            run.called.clear()
        run.last_step = place.last
        name = run.name_branch(context)
        run.called.append(name if context is None else context)
        if name not in run.branches:
            policy = Always() if self._paused else self._new_policy()
            run.branches[name] = Branch(policy, Extrapolation(self._order), name, device)
        return Call(run.branches[name], last=place.last)

    def finish(self) -> None:
        """The run in hand is over: count it, unless it is known to have stopped before its end."""
        self._close()
        self._progress.forget()

    def discard(self) -> None:
        """Forget the run in hand: neither its residuals nor its statistics stay."""
        self._run = None
        self._progress.forget()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Every run that starts inside is computed in full."""
        self.finish()
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self.finish()
            self._paused = before

    def statistics(self) -> Stats:
        return self._finished + self._open_run()

    def clear_statistics(self) -> None:
        self.finish()
        self._finished = Stats()

    def _close(self) -> None:
        self._finished += self._open_run()
        self._run = None

    def _open_run(self) -> Stats:
        run = self._run
        if run is None or (self._progress.knows_end and not run.last_step):
            return Stats()
        return Stats(calls=tuple(branch.statistics(self._denoiser) for branch in run.branches.values()))
