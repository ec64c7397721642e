"""One denoiser with a cache on: takes every call to its run and branch, and keeps the statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from teacache.branches import UNCACHED, Batch, Branch, Method, StackInput
from teacache.kinds import Kind
from teacache.outputs import Supply
from teacache.rows import NO_ROWS
from teacache.runs import Run
from teacache.statistics import Stats
from teacache.trajectories import Place, Progress

MAX_BRANCHES = 4
"""More calls than this at one step, without contexts to tell them apart, are runs of one step each."""

MAX_UNREAD = 256
"""Read the statistics of finished branches after so many at the latest, as each holds on to some CUDA events."""


class Call:
    """One call to the denoiser's forward, from its start to its end."""

    __slots__ = ("_inputs", "_place", "_stack", "answer", "branch", "entered", "latents", "rows", "whole")

    def __init__(self, branch: Branch, place: Place, inputs: tuple[Kind, ...], answer: Any) -> None:
        self.branch = branch
        self._place = place
        self._inputs = inputs
        self.answer = answer
        """What the denoiser is to answer without running; None: it runs."""
        self.latents: Any = None
        """Those that the denoiser takes in, where guidance may be one batch."""
        self._stack: StackInput | None = None
        self.entered = False
        self.rows = NO_ROWS
        """The rows whose blocks are computed in this call."""
        self.whole = True
        """Whether those are all."""

    def enter_stack(self, stack: StackInput, indicator: Callable[[], Tensor],
                    latents: Callable[[], Tensor | None]) -> None:  # fmt: skip
        """The first block is about to run: decide."""
        self.entered = True
        self.branch.block_time.start()
        self._stack = stack
        self.rows = self.branch.decide(stack, self._place, indicator, latents)
        self.whole = self.rows.all

    @property
    def stack_length(self) -> int:
        """How many tokens went into the stack."""
        assert self._stack is not None
        return self._stack.streams[0].shape[1]

    def leave_stack(self, *outputs: Tensor) -> Sequence[Tensor]:
        """The stack has been gone through. Returns its outputs, in which skipped rows are made up."""
        stack, self._stack = self._stack, None
        if stack is None:
            return outputs
        self.branch.keep(stack, outputs, self.rows)
        made_up: Sequence[Tensor] = outputs
        if not self.whole:
            rest = self.rows.rest
            made_up = list(map(rest.put, outputs, self.branch.stand_in(stack, rest)))
        self.branch.block_time.stop()
        return made_up

    def end(self, output: Any) -> Any:
        """The denoiser's forward is over. Returns what it is to answer.

        Raises:
            RuntimeError: rows were skipped and nothing has stood in for them.
        """
        if self.answer is not None:
            self.branch.skipped()
        elif not self.entered:
            self.branch.computed()
        elif self._stack is not None:  # the model did not call its last block, as with SD3's skip_layers
            self.branch.block_time.stop()
            if not self.whole:
                raise RuntimeError("blocks were skipped, but the model did not come to the end of its stack")
        self.branch.forward_time.stop()
        if self.branch.keeps_answers and self.answer is None:
            self.branch.remember(self._inputs, output)
        if self._place.last:
            self.branch.release()
        return output


class Session:
    """Runs, branches and statistics of one denoiser.

    A run counts in the statistics once it is finished: at its last step where the number of steps is known, otherwise
    when the next one starts or the statistics are asked for. A run that stopped before its known end never counts.
    """

    def __init__(self, denoiser: str, progress: Progress, method: Method) -> None:
        self._denoiser = denoiser
        self._progress = progress
        self._method = method
        self._finished = Stats()
        self._unread: list[Branch] = []
        """Of finished runs: their seconds, and which rows are one sample, may still have to come from the device."""
        self._run: Run | None = None
        self._paused = False
        self.others: tuple[Session, ...] = ()
        """Of the pipeline's other denoisers. A run that comes to this one has left them."""
        self.call: Call | None = None
        """The call to the denoiser's forward that is going on now."""

    @property
    def passes_on(self) -> bool:
        """Whether the scheduler gets something else than the outputs as they are."""
        return self._method.supply is not None

    def scheduler(self) -> Any:
        """The pipeline's; None on a transformer alone."""
        return self._progress.scheduler()

    def begin(self, timestep: Callable[[], Any], context: str | None, batch: Callable[[], Batch],
              inputs: tuple[Kind, ...]) -> Call:  # fmt: skip
        """A call to the denoiser's forward starts.

        Args:
            batch: tells what it takes in; asked where it starts a branch.
            inputs: the kinds of its latents, where it may be answered from memory.
        """
        if self.call is not None:  # the last one never came to its end
            self.discard()
        run = self._place(timestep, context)
        assert run.place is not None
        run.ended = False
        name = run.name_branch(context)
        run.called.append(name if context is None else context)
        if name not in run.branches:
            run.branches[name] = Branch(name, run.method, run.place.total, batch())
        branch = run.branches[name]
        self.call = Call(branch, run.place, inputs, run.answer(branch, inputs))
        branch.forward_time.start()
        return self.call

    @property
    def starts(self) -> bool:
        """Whether the call that is going on is the first of its run."""
        return self._run is not None and self._run.num_steps == 1 and len(self._run.called) == 1

    def end(self, output: Any) -> Any:
        """The call is over; if its forward raised, its output is None and the run is forgotten.

        Returns what the denoiser is to answer.
        """
        call, self.call = self.call, None
        if output is None or call is None:
            self.discard()
            return output
        if self._run is not None and self._run.supply is not None:
            self._run.answers.append(output)
        try:
            answer = call.end(output)
        except (RuntimeError, TypeError):
            self.discard()
            raise
        if self._run is not None and self._run.last_step:
            self._run.ended = True
            for other in self.others:
                other.goes_on_as(self._run)
        return answer

    def goes_on_as(self, run: Run) -> None:
        """The scheduler's run comes to its last step in another denoiser: what it did here counts if it ends there.
        (Not every pipeline tells when its call is over, as modular ones do not.)"""
        if self._run is not None and self._progress.exact and self._progress.current:
            self._run.goes_on_as = run

    def to_scheduler(self, output: Tensor, sample: Tensor) -> Tensor:
        """What the scheduler gets in the place of the guided output."""
        if self._run is None or self.call is not None or not self._progress.current:  # it died before its end
            return output
        return self._run.to_scheduler(output, sample)

    def _place(self, timestep: Callable[[], Any], context: str | None) -> Run:
        """The run that a call belongs to, with its step brought up to date.

        Raises:
            ValueError: a scheduler that is to be supplied was left out at the step before.
        """
        run = self._run
        crowded = run is not None and (len(run.called) >= MAX_BRANCHES if context is None else context in run.called)
        place = self._progress.place(timestep, repeats=crowded)
        if place.starts or run is None:
            self._close()
            method = UNCACHED if self._paused else self._method
            run = self._run = Run(method, self._supply(method, place.total))
            for other in self.others:
                other.release()
        if place.moves:
            if run.num_steps == 1 and len(run.called) > 1 and context is None and not self._progress.exact:
                # Was the first call at that step a run that was given up? Then branch "0" holds what it left.
                for branch in run.branches.values():
                    branch.restart()
            if run.supply is not None and run.num_steps and not run.asked and self._progress.exact:
                raise ValueError(
                    "a measured schedule supplies the pipeline's scheduler, which made no step here: another loop "
                    "calls the denoiser, or there is a copy of it for every frame, as in SkyReels-V2's diffusion "
                    "forcing; order=1 takes the schedule for lines"
                )
            run.move()
        run.place = place
        return run

    def _supply(self, method: Method, total: int | None) -> Supply | None:
        """What the scheduler is to get in a new run; None in one that is not by the pipeline's scheduler."""
        return method.supply(total) if method.supply is not None and self._progress.exact else None

    def finish(self) -> None:
        """The run in hand is over: count it, unless it is known to have stopped before its end."""
        self._close()
        self._progress.forget()

    def step_aside(self) -> None:
        """A call that is none of a run's steps starts; the run in hand is over."""
        self.finish()
        self.call = None

    def discard(self) -> None:
        """Forget the run in hand: neither its residuals nor its statistics stay."""
        self._run = None
        self._progress.forget()

    def release(self) -> None:
        """Let go of residuals: what is still to come of the run in hand, if anything, is computed."""
        if self._run is None:
            return
        self._run.supply = None
        for branch in self._run.branches.values():
            branch.release()

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
        """Waits for the device, which a run itself never does for its statistics."""
        self._read()
        return self._finished + self._open_run()

    def clear_statistics(self) -> None:
        """Count afresh; a run that is still going on is not disturbed."""
        if self._run is not None and self._counts():
            if self._progress.knows_end:
                self.finish()
            else:  # nobody knows whether it is over
                for branch in self._run.branches.values():
                    branch.clear_record()
        self._unread.clear()
        self._finished = Stats()

    def _close(self) -> None:
        if self._run is not None and self._counts():
            self.release()
            self._unread += self._run.branches.values()
        self._run = None
        if len(self._unread) >= MAX_UNREAD:
            self._read()

    def _read(self) -> None:
        self._finished += self._statistics_of(self._unread)
        self._unread.clear()

    def _counts(self) -> bool:
        """Whether the run in hand is to be counted as it stands."""
        run = self._run
        if run is None or self.call is not None:  # it never came to its end, as after Ctrl-C
            return False
        elsewhere = run.goes_on_as is not None and run.goes_on_as.ended
        return run.last_step or elsewhere or not self._progress.knows_end or self._progress.completed

    def _open_run(self) -> Stats:
        if self._run is None or not self._counts():
            return Stats()
        return self._statistics_of(self._run.branches.values())

    def _statistics_of(self, branches: Iterable[Branch]) -> Stats:
        return Stats(calls=tuple(branch.statistics(self._denoiser) for branch in branches if branch.has_record))
