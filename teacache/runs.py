"""One run through the denoiser: its branches, where it stands, and what its scheduler gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from teacache.branches import Branch, Method, records_gradients
from teacache.kinds import Kind
from teacache.outputs import Supply
from teacache.trajectories import Place


@dataclass(slots=True)
class Run:
    """A pipeline call, or a loop somebody wrote by hand."""

    method: Method
    supply: Supply | None = None
    """What the scheduler gets, where that is not the outputs as they are."""
    branches: dict[str, Branch] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    """The branches called at the current step."""
    answers: list[Any] = field(default_factory=list)
    """What the denoiser answered to them."""
    skipped: bool = False
    """Whether it did not run for one of them."""
    asked: bool = False
    """Whether the scheduler has come for an output at the current step."""
    passed_on: bool = False
    """Whether it has got what it gets there."""
    num_steps: int = 0
    place: Place | None = None
    ended: bool = False
    """Whether its latest call was at the last step, and came to its end."""
    goes_on_as: Run | None = None
    """That of another denoiser at the same scheduler, where it came to the last step."""

    @property
    def last_step(self) -> bool:
        return self.place is not None and self.place.last

    def move(self) -> None:
        """To the next step."""
        self.called.clear()
        self.answers.clear()
        self.skipped = self.asked = self.passed_on = False
        self.num_steps += 1

    def name_branch(self, context: str | None) -> str:
        """The branch of the next call at this step: its context, or its ordinal where there is none."""
        if context is None:
            return str(len(self.called))
        times = self.called.count(context)
        return context if times == 0 else f"{context}#{times + 1}"

    def answer(self, branch: Branch, inputs: tuple[Kind, ...]) -> Any:
        """What the denoiser is to answer to latents of these kinds without running; None: it is to run.

        The answer is of no meaning: the scheduler will get a sum of earlier outputs. At an unguided step it is the
        first branch's, so that what the pipeline makes of all is that one's alone.
        """
        if self.supply is None or self.place is None:
            return None
        if self.supply.skips(self.place.step):
            answer = branch.answer_to(inputs)
            self.skipped = self.skipped or answer is not None
            return answer
        first = self.branches[self.called[0]]
        if branch is first or not self.supply.unguided(self.place.step):
            return None
        answer = first.answer_to(inputs)
        branch.remember(inputs, answer)  # for the steps that are skipped before it runs for the first time
        return answer

    def to_scheduler(self, output: Tensor, sample: Tensor) -> Tensor:
        """What the scheduler gets in the place of the guided output."""
        self.asked = True
        if self.supply is None or self.place is None or not self.called or self.passed_on:
            return output
        if not self.skipped and records_gradients(output):
            return output
        self.passed_on = True
        passed_on = self.supply.pass_on(self.place.step, output, self.answers, sample, computed=not self.skipped)
        self.answers.clear()
        return passed_on
