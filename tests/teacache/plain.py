"""Caching as its definition has it, without teacache: every block runs, and where a step is to be skipped, what comes
out of the stack is replaced by the stack's input plus the residual that stands in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from teacache.cache import denoisers_of
from teacache.forwards import parameter_names
from teacache.models import Arguments, Model
from teacache.registry import model_for


@dataclass
class PlainBranch:
    """The steps and residuals of one stream in one guidance branch, oldest first; `length` is that of a run, where more
    than one come."""

    computed: Collection[int]
    order: int
    length: int | None
    late: int
    step: int = -1
    before: Tensor | None = None
    residuals: list[tuple[int, Tensor]] = field(default_factory=list)

    def enter(self, before: Tensor | None) -> None:
        self.step, self.before = self.step + 1, before
        if self.step == self.length:
            self.step = 0
        if self.step in (0, self.late):
            self.residuals.clear()

    def leave(self, after: Tensor) -> Tensor:
        assert self.before is not None
        if self.step in self.computed:
            self.residuals.append((self.step, after - self.before))
            return after
        newest_step, newest = self.residuals[-1]
        if self.order == 0 or len(self.residuals) == 1:
            return self.before + newest
        older_step, older = self.residuals[-2]
        slope = (newest - older) / (newest_step - older_step)
        return self.before + newest + slope * (self.step - newest_step)


class Watch:
    """Knows whether the call to a transformer that is going on is none of a run's steps."""

    def __init__(self, transformer: nn.Module, model: Model) -> None:
        self.apart, names = False, parameter_names(transformer)

        def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.apart = model.apart is not None and model.apart(Arguments(names, args, kwargs))

        self.handle = transformer.register_forward_pre_hook(begin, with_kwargs=True)


@contextmanager
def tokens_entering(pipe: Any) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of what goes into the stack of a pipeline's denoisers, call by call."""
    shapes: list[tuple[int, ...]] = []

    def look_with(model: Model, names: tuple[str, ...]) -> Callable[..., None]:
        return lambda module, args, kwargs: shapes.append(
            tuple(Arguments(names, args, kwargs)[model.hidden_states].shape)
        )

    handles = []
    for denoiser in denoisers_of(pipe):
        model = model_for(denoiser)
        first: Any = denoiser.get_submodule(model.stack[0].name)
        look = look_with(model, parameter_names(first[0]))
        handles.append(first[0].register_forward_pre_hook(look, with_kwargs=True))
    yield shapes
    for handle in handles:
        handle.remove()


@contextmanager
def plainly_cached(transformer: nn.Module, model: Model, computed: Collection[int], *, branches: int = 1,
                   length: int | None = None, late: int = 0, order: int = 0,
                   exit_at: str = "") -> Iterator[None]:  # fmt: skip
    """The transformer's calls go through the branches in turn; each computes these steps and skips the others.

    Args:
        length: after so many steps the next run begins.
        late: so many steps at its start leave nothing that later ones could take.
    """
    states = [{name: PlainBranch(computed, order, length, late) for name in model.streams} for _ in range(branches)]
    calls, watch = 0, Watch(transformer, model)
    lists: list[Any] = [transformer.get_submodule(blocks.name) for blocks in model.stack]
    first, last, returns = lists[0][0], lists[-1][-1], model.stack[-1].returns
    names = parameter_names(first)

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        nonlocal calls
        if watch.apart:
            return
        arguments = Arguments(names, args, kwargs)
        for name, state in states[calls % branches].items():
            tokens = arguments[name]
            if model.count is not None and name == model.hidden_states:
                tokens = tokens[:, -model.count(arguments) :]
            state.enter(tokens)
        calls += 1

    def leave(module: nn.Module, args: Any, output: Any) -> Any:
        if watch.apart:
            return output
        outputs = list(output) if isinstance(output, tuple) else [output]
        for name, state in states[(calls - 1) % branches].items():
            if state.before is None:  # a stream that is left out
                continue
            at, count = returns.index(name), state.before.shape[1]
            whole, tokens = outputs[at], model.tokens if name == model.hidden_states else "all"
            own = {"all": slice(None), "first": slice(0, count), "last": slice(whole.shape[1] - count, None)}[tokens]
            outputs[at] = whole.clone()
            outputs[at][:, own] = state.leave(whole[:, own])
        return tuple(outputs) if isinstance(output, tuple) else outputs[0]

    def leave_before(module: nn.Module, args: Any) -> Any:
        return (states[(calls - 1) % branches][model.hidden_states].leave(args[0]), *args[1:])

    handles = [watch.handle, first.register_forward_pre_hook(enter, with_kwargs=True)]
    if exit_at:
        handles.append(transformer.get_submodule(exit_at).register_forward_pre_hook(leave_before))
    else:
        handles.append(last.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
