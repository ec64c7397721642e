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

MAX_BRANCHES = 4
"""More calls than this at one step, without contexts to tell them apart, are runs of one step each."""


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

    def begin(self, timestep: Callable[[], Any], context: str | None, device: torch.device) -> None:
        """A call to the denoiser's forward starts."""
        if self.call is not None:  # the last one never came to its end
            self.discard()
        run = self._place(timestep, context)
        name = run.name_branch(context)
        run.called.append(name if context is None else context)
        if name not in run.branches:
            run.branches[name] = Branch(*self._new_state(), name, device)
        self.call = Call(run.branches[name], last=run.last_step)
        self.call.branch.forward_time.start()

    def end(self, *, failed: bool) -> None:
        """The call is over; if its forward raised, the run is forgotten."""
        call, self.call = self.call, None
        if failed or call is None:
            self.discard()
            return
        call.branch.forward_time.stop()
        if not call.entered:
            call.branch.decisions.append(Decision(compute=True))
        if call.last:  # only the record is needed now, not the residuals
            call.branch.restart(Always(), Extrapolation(0))

    def _place(self, timestep: Callable[[], Any], context: str | None) -> Run:
        """The run that a call belongs to, with its step brought up to date."""
        run = self._run
        crowded = run is not None and (len(run.called) >= MAX_BRANCHES if context is None else context in run.called)
        place = self._progress.place(timestep, repeats=crowded)
        if place.starts or run is None:
            self._close()
            run = self._run = Run()
        if place.moves:
            if run.num_steps == 1 and len(run.called) > 1 and context is None and not self._progress.exact:
                # Was the first call at that step a run that was given up? Then branch "0" holds what it left.
                for branch in run.branches.values():
                    branch.restart(*self._new_state())
            run.called.clear()
            run.num_steps += 1
        run.last_step = place.last
        return run

    def _new_state(self) -> tuple[Policy, Extrapolation]:
        return Always() if self._paused else self._new_policy(), Extrapolation(self._order)

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
        """Count afresh; a run that is still going on is not disturbed."""
        if self._counts():
            self.finish()
        self._finished = Stats()

    def _close(self) -> None:
        self._finished += self._open_run()
        self._run = None

    def _counts(self) -> bool:
        """Whether the run in hand is to be counted as it stands."""
        run = self._run
        return run is not None and (run.last_step or not self._progress.knows_end or self._progress.completed)

    def _open_run(self) -> Stats:
        if self._run is None or not self._counts():
            return Stats()
        return Stats(calls=tuple(branch.statistics(self._denoiser) for branch in self._run.branches.values()))
