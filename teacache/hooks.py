"""The hooks on a denoiser and its blocks. The only file that touches diffusers.hooks.

    denoiser     torch's own forward hooks: begin and end of a call
    first block  keeps the stack input and decides for every row
    blocks       compute the rows that are due, let the others pass unchanged
    exit         the last block, or the module before which a published residual ends: puts stack input + residual in
                 the place of skipped rows, keeps the residual of the others

The exit answers with the *stack's* input plus the residual, not with its own: what a model adds between blocks
(ControlNet samples) is in the residual already.

A block's forward is replaced below everything that others have put on the block (accelerate, group offloading), so
that the weights are on the device when the indicator asks for them, and in a way that copies cleanly.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from diffusers.hooks.hooks import BaseState, CacheContext, HookRegistry, ModelHook, StateManager
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn
from torch._dynamo.decorators import skip
from torch.utils.hooks import RemovableHandle

from teacache.branches import StackInput
from teacache.models import Arguments, Blocks, Indicator, Model
from teacache.session import Call, Session

ATTRIBUTE = "_teacache"


Function = TypeVar("Function", bound=Callable[..., Any])


def _uncompiled(function: Function) -> Function:
    """Not traced by torch.compile, nor what it calls."""
    marked: Function = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return marked


def _between(function: Function) -> Function:
    """Not traced by torch.compile; what it calls is, as a whole (a block's own forward), where not `_uncompiled`."""
    skip(function)  # what follows is looked up anew at every call without it, which costs as much as a small block
    marked: Function = torch.compiler.disable(function, recursive=False)  # type: ignore[no-untyped-call]
    return marked


_NOTHING = torch.empty(0)


def _some_graph(nothing: Tensor) -> Tensor:
    """A block that was compiled with fullgraph=True has to come by a graph at every call; a skipped one by this."""
    return nothing.unsqueeze(0)


class ContextName(StateManager):
    """Hears the name of the pipeline's cache_context; keeps no state of diffusers' kind."""

    def __init__(self) -> None:
        super().__init__(BaseState)
        self.name: str | None = None

    def set_context(self, context: CacheContext | None) -> None:
        self.name = None if context is None else context.name


class Listener(ModelHook):
    """Hears a pipeline's cache_context and the end of its call: diffusers tells every hook below a denoiser."""

    _is_stateful = True

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.context = ContextName()

    def reset_state(self, module: nn.Module) -> nn.Module:
        self._session.finish()
        return module


class Attachment(nn.Module):
    """What is on a denoiser while its cache is on: a submodule of it, without weights, that is never called.

    It carries the listener; a listener on one of the model's own modules would have to replace its forward.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.handles: list[RemovableHandle] = []
        self.forwards: list[BlockForward | IdleForward] = []
        self.listener = Listener(session)
        HookRegistry.check_if_exists_or_initialize(self).register_hook(self.listener, "teacache")

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of the denoiser has no cache; nor does the list of registries that diffusers keeps lead back here."""
        memo[id(HookRegistry.check_if_exists_or_initialize(self))] = HookRegistry(nn.Identity())


class CacheIsOn:
    """In the place of diffusers' `_cache_config`: `is_cache_enabled` tells, and its own caches are refused."""

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """A copy of the denoiser has no cache."""
        return type(None), ()


class Replacement:
    """A callable in the place of a module's forward; a deep copy of the module gets its own forward back."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        holder, name = _innermost(module)
        self.original: Callable[..., Any] = getattr(holder, name)
        self.__wrapped__ = self.original  # inspect.signature follows it
        setattr(holder, name, self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.original, memo)

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
        self._position = blocks.returns.index(model.hidden_states)
        self._names = _parameter_names(block)
        self.enter: Callable[[Call, nn.Module, Arguments], None] | None = None
        self.exits = False

    @_between
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._session.call
        if call is None:  # the block is called by something else than the denoiser's forward
            return self.original(*args, **kwargs)
        due = self._before(call, args, kwargs)
        output = _some_graph(_NOTHING) if due is None else self.original(*due[0], **due[1])
        return self._after(call, args, kwargs, output)

    @_uncompiled
    def _before(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The arguments of the rows that are due; None where none are."""
        if self.enter is not None:
            self.enter(call, self.module, Arguments(self._names, args, kwargs))
        if call.rows.all:
            return args, kwargs
        if not call.rows.rows:
            return None
        return (
            tuple(self._take(call, name, value) for name, value in zip(self._names, args, strict=False)),
            {name: self._take(call, name, value) for name, value in kwargs.items()},
        )

    @_uncompiled
    def _after(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """What the block returns: its output, and in rows that were not computed what it took in."""
        if call.rows.all:
            if self.exits:
                self._leave(call, output if len(self._returns) > 1 else (output,))
            return output
        arguments = Arguments(self._names, args, kwargs)
        outputs = [arguments.get(name) for name in self._returns]
        if call.rows.rows:
            news = output if len(self._returns) > 1 else (output,)
            outputs = [None if new is None else call.rows.put(old, new)
                       for old, new in zip(outputs, news, strict=True)]  # fmt: skip
        if self.exits:
            outputs[self._position] = self._leave(call, outputs)
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def _take(self, call: Call, name: str, value: Any) -> Any:
        if name in self._model.shared:
            return value
        return call.rows.take_from(value, repeated=name in self._model.repeated)

    def _leave(self, call: Call, outputs: Any) -> Tensor:
        hidden_states: Tensor = outputs[self._position]
        if self._model.tokens == "all":
            return call.leave_stack(hidden_states)
        count = call.stack_length
        at = slice(0, count) if self._model.tokens == "first" else slice(hidden_states.shape[1] - count, None)
        own = call.leave_stack(hidden_states[:, at])
        if call.rows.all:
            return hidden_states
        hidden_states = hidden_states.clone()
        hidden_states[:, at] = own
        return hidden_states


class IdleForward(Replacement):
    """On modules between the blocks whose output is in the residual: zeros where every row is skipped."""

    def __init__(self, module: nn.Module, session: Session) -> None:
        super().__init__(module)
        self._session = session
        self._names = _parameter_names(module)

    @_between
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._session.call
        if call is None or not call.entered or call.rows.rows:
            return self.original(*args, **kwargs)
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        return torch.zeros_like(tensors[-1])


def attach(transformer: nn.Module, model: Model | None, session: Session, *, indicator: str = "",
           exit_at: str = "") -> None:  # fmt: skip
    """Put the hooks on.

    Args:
        model: None means on the denoiser alone, without its blocks.
        indicator: the name of one of the model's indicators; "" its default.
        exit_at: the submodule before which the residual ends; "" means at the last block.
    """
    transformer = unwrap_module(transformer)
    attachment = Attachment(session)
    names, context = _parameter_names(transformer), attachment.listener.context
    timestep = "timestep" if model is None else model.timestep
    inputs: dict[str, Any] = {}

    @_uncompiled
    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module is not transformer:  # a deep copy, which takes torch's hooks along
            return
        arguments = Arguments(names, args, kwargs)
        inputs["latents"] = arguments.get(model.latents) if model and model.guidance == "batch" else None
        device = next(_tensors((*args, *kwargs.values()))).device
        session.begin(lambda: arguments[timestep], context.name, device)

    @_uncompiled
    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if module is transformer:
            inputs.clear()
            session.end(failed=output is None)

    if model is not None:
        _attach_to_stack(transformer, model, attachment, inputs, indicator or model.indicator, exit_at)
    attachment.handles += [
        transformer.register_forward_pre_hook(begin, with_kwargs=True),
        transformer.register_forward_hook(end, always_call=True),
    ]
    transformer.add_module(ATTRIBUTE, attachment)
    transformer._cache_config = CacheIsOn()  # type: ignore[assignment]
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def _attach_to_stack(transformer: nn.Module, model: Model, attachment: Attachment, inputs: dict[str, Any],
                     indicator: str, exit_at: str) -> None:  # fmt: skip
    session = attachment.session
    lists = [(blocks, getattr(transformer, blocks.name)) for blocks in model.stack if _has(transformer, blocks.name)]
    stack = [BlockForward(unwrap_module(block), session, model, blocks) for blocks, found in lists for block in found]
    idle = [module for name in model.idle for module in getattr(transformer, name) or ()]
    attachment.forwards += [*stack, *(IdleForward(unwrap_module(module), session) for module in idle)]
    evaluate = _evaluator(transformer, attachment, model.indicators.get(indicator, Indicator()))

    def enter(call: Call, block: nn.Module, arguments: Arguments) -> None:
        hidden_states = arguments[model.hidden_states]
        mask = arguments.get(model.mask) if model.mask else None
        latents = _stacked(inputs.get("latents"))
        call.enter_stack(StackInput(hidden_states, lambda: evaluate(block, arguments), mask, latents))

    stack[0].enter = enter
    if not exit_at:
        stack[-1].exits = True
        return
    module = transformer.get_submodule(exit_at)

    @_uncompiled
    def leave(exit_module: nn.Module, args: tuple[Any, ...]) -> Any:
        if exit_module is not module or session.call is None or not session.call.entered:
            return None
        return (session.call.leave_stack(args[0]), *args[1:])

    attachment.handles.append(module.register_forward_pre_hook(leave))


def _has(transformer: nn.Module, name: str) -> bool:
    """Raises ValueError if a record names blocks that the transformer does not have."""
    if not hasattr(transformer, name):
        raise ValueError(f"{type(transformer).__name__} has no {name}; the record of its blocks is for another class")
    return True


def _evaluator(transformer: nn.Module, attachment: Attachment,
               indicator: Indicator) -> Callable[[nn.Module, Arguments], Tensor]:  # fmt: skip
    """Evaluates an indicator when the first block is about to run."""
    if not indicator.module:
        of_block = indicator.of_block

        def evaluate(block: nn.Module, arguments: Arguments) -> Tensor:
            assert of_block is not None
            with torch.no_grad():
                return of_block(block, arguments)

        return evaluate
    module, seen = transformer.get_submodule(indicator.module), {}

    @_uncompiled
    def watch(watched: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if watched is module:
            seen["output"] = output.detach()

    attachment.handles.append(module.register_forward_hook(watch))
    return lambda block, arguments: seen["output"]


def detach(transformer: nn.Module) -> None:
    """Take all of our hooks off again; does nothing where there are none."""
    transformer = unwrap_module(transformer)
    attachment: Attachment | None = getattr(transformer, ATTRIBUTE, None)
    if attachment is None:
        return
    for handle in attachment.handles:
        handle.remove()
    for forward in attachment.forwards:
        forward.undo()
    delattr(transformer, ATTRIBUTE)
    del transformer._cache_config
    attachment.session.finish()
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def session_of(transformer: nn.Module) -> Session | None:
    """The session of a denoiser whose cache is on."""
    attachment: Attachment | None = getattr(unwrap_module(transformer), ATTRIBUTE, None)
    return None if attachment is None else attachment.session


def _layers(module: nn.Module) -> Iterator[tuple[Any, str]]:
    """Every place that may hold the next inner forward of a module, the outermost first."""
    yield module, "forward"
    yield module, "_old_forward"  # accelerate's
    registry: HookRegistry | None = getattr(module, "_diffusers_hook", None)
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


def _parameter_names(module: nn.Module) -> tuple[str, ...]:
    return tuple(inspect.signature(module.forward).parameters)


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _stacked(latents: Any) -> Tensor | None:
    """The latents as one tensor, rows first; None where they are of several shapes."""
    if isinstance(latents, Tensor) or latents is None:
        return latents
    same = all(isinstance(one, Tensor) and one.shape == latents[0].shape for one in latents)
    return torch.stack(list(latents)) if same else None
