"""What stands in the place of a module's forward while a cache is on: on blocks, and on modules between them.

A forward is replaced below everything that others have put on the module (accelerate, group offloading), so that the
weights are on the device when the indicator asks for them, and in a way that copies cleanly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from teacache.compiling import between, uncompiled
from teacache.models import Arguments, Blocks, Model
from teacache.session import Call, Session
from teacache.sharing import Shared

_NOTHING = torch.empty(0)


def _some_graph(nothing: Tensor) -> Tensor:
    """A block that was compiled with fullgraph=True has to come by a graph at every call; a skipped one by this."""
    return nothing.unsqueeze(0)


def _itself(forward: Callable[..., Any]) -> Callable[..., Any]:
    return forward


class Replacement:
    """A callable in the place of a module's forward; a copy of the module, or a pickle, gets its own forward back."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        holder, name = _innermost(module)
        self.original: Callable[..., Any] = getattr(holder, name)
        self.__wrapped__ = self.original  # inspect.signature follows it
        setattr(holder, name, self)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _itself, (self.original,)

    def undo(self) -> None:
        """Put the forward back, wherever the layers that came later have moved this."""
        for holder, name in _layers(self.module):
            if vars(holder).get(name) is self:
                if (
                    name == "forward"
                    and holder is self.module
                    and self.original == type(self.module).forward.__get__(self.module)
                ):
                    delattr(holder, name)
                else:
                    setattr(holder, name, self.original)


class BlockForward(Replacement):
    """On every block of the stack; `enter` is set on the first one, `exits` on the last one."""

    def __init__(self, block: nn.Module, session: Session, model: Model, blocks: Blocks) -> None:
        super().__init__(block)
        self._session = session
        self._model = model
        self._returns = blocks.returns
        self._positions = tuple(map(blocks.returns.index, model.streams))
        self.names = parameter_names(block)
        self.enter: Callable[[Call, tuple[Any, ...], dict[str, Any]], None] | None = None
        self.exits = False
        self.shared: Shared | None = None

    @between
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._session.call
        # Called by something else than the denoiser's forward, or a block amidst a step that is computed whole.
        if call is None or (call.whole and self.enter is None and not self.exits):
            return self.original(*args, **kwargs)
        if self.enter is not None:
            self.enter(call, args, kwargs)
        if not call.whole:
            due = self._due(call, args, kwargs)
            output = _some_graph(_NOTHING) if due is None else self.original(*due[0], **due[1])
            return self._put(call, args, kwargs, output)
        original = self.original if self.shared is None else self.shared.lend
        output = original(*args, **kwargs)
        if self.exits:
            self._leave(call, output if len(self._returns) > 1 else (output,))
        return output

    @uncompiled
    def _due(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The arguments of the rows that are due; None where none are."""
        if not call.rows.rows:
            return None
        layout = self._model.rows
        return (
            tuple(layout.take(name, value, call.rows) for name, value in zip(self.names, args, strict=False)),
            {name: layout.take(name, value, call.rows) for name, value in kwargs.items()},
        )

    @uncompiled
    def _put(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """What the block returns: its output, and in rows that were not computed what it took in."""
        arguments = Arguments(self.names, args, kwargs)
        outputs: Sequence[Any] = [arguments.get(name) for name in self._returns]
        if call.rows.rows:
            news = output if len(self._returns) > 1 else (output,)
            outputs = [None if new is None else self._model.rows.put(name, old, new, call.rows)
                       for name, old, new in zip(self._returns, outputs, news, strict=True)]  # fmt: skip
        if self.exits:
            outputs = self._leave(call, outputs)
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    @uncompiled
    def _leave(self, call: Call, outputs: Sequence[Any]) -> Sequence[Any]:
        """What the stack returns, in the place of the last block's outputs."""
        positions = [at for at in self._positions if outputs[at] is not None]
        hidden_states, *further = map(outputs.__getitem__, positions)
        if self._model.tokens == "all":
            streams = call.leave_stack(hidden_states, *further)
        else:
            count = call.stack_length
            own = slice(0, count) if self._model.tokens == "first" else slice(hidden_states.shape[1] - count, None)
            streams = call.leave_stack(hidden_states[:, own], *further)
        if call.whole:
            return outputs
        left = list(outputs)
        for at, stream in zip(positions, streams, strict=True):
            left[at] = stream
        if self._model.tokens != "all":
            left[positions[0]] = hidden_states.clone()
            left[positions[0]][:, own] = streams[0]
        return left


class TurnedForward(BlockForward):
    """On blocks that do not have the rows of the batch first in all arguments: what leaves the stack has them so."""

    @uncompiled
    def _leave(self, call: Call, outputs: Sequence[Any]) -> Sequence[Any]:
        layout = self._model.rows
        turned = [layout.first(name, output, call.rows.size)
                  for name, output in zip(self._returns, outputs, strict=True)]  # fmt: skip
        return list(map(layout.back, self._returns, super()._leave(call, turned)))


class IdleForward(Replacement):
    """On modules between the blocks whose output is in the residual: zeros where every row is skipped."""

    def __init__(self, module: nn.Module, session: Session, model: Model) -> None:
        super().__init__(module)
        self._session = session
        self._model = model
        self._names = parameter_names(module)

    @between
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._session.call
        if call is None or not call.entered or call.rows.rows:
            return self.original(*args, **kwargs)
        return torch.zeros_like(Arguments(self._names, args, kwargs)[self._model.hidden_states])


class DenoiserForward(Replacement):
    """On the denoiser itself: begins and ends its calls."""

    def __init__(self, denoiser: nn.Module, session: Session, begin: Callable[..., Any]) -> None:
        """
        Args:
            begin: takes the arguments of a call; returns what the denoiser is to answer without running, or None.
        """
        super().__init__(denoiser)
        self._begin, self._end = uncompiled(begin), uncompiled(session.end)

    @between
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = self._begin(args, kwargs)
            output = self.original(*args, **kwargs) if answer is None else answer
        except Exception:
            self._end(None)
            raise
        return self._end(output)


def _layers(module: nn.Module) -> Iterator[tuple[Any, str]]:
    """Every place that may hold the next inner forward of a module, the outermost first."""
    yield module, "forward"
    yield module, "_old_forward"  # accelerate's
    registry: Any = getattr(module, "_diffusers_hook", None)
    for reference in [] if registry is None else registry._fn_refs:
        yield reference, "forward"
        yield reference, "original_forward"


def _innermost(module: nn.Module) -> tuple[Any, str]:
    """The place that holds a module's own forward, below the hooks of diffusers and accelerate."""
    own = type(module).forward.__get__(module)
    for holder, name in _layers(module):
        if vars(holder).get(name) == own:
            return holder, name
    return module, "forward"


def parameter_names(module: nn.Module) -> tuple[str, ...]:
    return tuple(inspect.signature(module.forward).parameters)
