"""The hooks on a denoiser and its blocks. The only file that touches diffusers.hooks.

    denoiser     torch's own forward hooks: begin and end of a call
    first block  keeps the stack input and decides; hears the pipeline's cache_context and the end of its call
    blocks       return their inputs when the step is skipped
    last block   returns stack input + residual when the step is skipped, keeps the residual otherwise

The last block answers with the *stack's* input plus the residual, not with its own: what a model adds between blocks
(ControlNet samples) is in the residual already.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.hooks.hooks import BaseState, CacheContext, HookRegistry, ModelHook, StateManager
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from teacache.models import Arguments, Indicator, Model
from teacache.session import Call, Session

NAME = "teacache"
ATTRIBUTE = "_teacache"


class ContextName(StateManager):
    """Hears the name of the pipeline's cache_context; keeps no state of diffusers' kind."""

    def __init__(self) -> None:
        super().__init__(BaseState)
        self.name: str | None = None

    def set_context(self, context: CacheContext | None) -> None:
        self.name = None if context is None else context.name


class BlockHook(ModelHook):
    """On every block of the stack; `last` marks its end."""

    def __init__(self, session: Session, returns: tuple[str, ...], *, last: bool) -> None:
        super().__init__()
        self._session = session
        self._returns = returns
        self._position = returns.index("hidden_states")
        self._last = last
        self._names: tuple[str, ...] = ()

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        self._names = _parameter_names(module)
        return module

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        call = self._session.call
        if call is None:  # the block is called by something else than the denoiser's forward
            return self.fn_ref.original_forward(*args, **kwargs)
        self.enter(call, module, args, kwargs)
        if call.compute:
            output = self.fn_ref.original_forward(*args, **kwargs)
            if self._last:
                call.leave_stack(self._hidden_states(output))
            return output
        arguments = kwargs if not args else Arguments(self._names, args, kwargs)
        outputs = [arguments[name] for name in self._returns]
        if self._last:
            outputs[self._position] = call.leave_stack(None)
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def enter(self, call: Call, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the block runs or is passed."""

    def _hidden_states(self, output: Any) -> Tensor:
        tensor: Tensor = output[self._position] if len(self._returns) > 1 else output
        return tensor


class FirstBlockHook(BlockHook):
    """On the first block: decides. It also listens for the denoiser, whose own forward is left alone, because
    accelerate's offloading replaces that forward and puts it back at every run."""

    _is_stateful = True  # so that cache_context and the end of a pipeline call are heard

    def __init__(self, session: Session, returns: tuple[str, ...], context: ContextName, indicator: Indicator, *,
                 last: bool) -> None:  # fmt: skip
        super().__init__(session, returns, last=last)
        self._context = context
        self._indicator = indicator

    def enter(self, call: Call, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = Arguments(self._names, args, kwargs)

        def indicator() -> Tensor:
            with torch.no_grad():
                return self._indicator(block, arguments)

        call.enter_stack(arguments["hidden_states"], indicator)

    def reset_state(self, module: nn.Module) -> nn.Module:
        self._session.finish()
        return module


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is on a denoiser while its cache is on."""

    session: Session
    handles: tuple[RemovableHandle, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of the denoiser has no cache."""


def attach(transformer: nn.Module, model: Model | None, session: Session, *, timestep: str) -> None:
    """Put the hooks on; `model` None means on the denoiser alone, without its blocks.

    Raises:
        ValueError: blocks of the model are offloaded in groups already.
    """
    transformer = unwrap_module(transformer)
    names, context = _parameter_names(transformer), ContextName()

    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module is not transformer:  # a deep copy, which takes torch's hooks along
            return
        device = next(_tensors(args, kwargs)).device
        session.begin(lambda: Arguments(names, args, kwargs)[timestep], context.name, device)

    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if module is transformer:
            session.end(failed=output is None)

    if model is not None:
        _attach_to_blocks(transformer, model, session, context)
    handles = (
        transformer.register_forward_pre_hook(begin, with_kwargs=True),
        transformer.register_forward_hook(end, always_call=True),
    )
    setattr(transformer, ATTRIBUTE, Attachment(session, handles))


def _attach_to_blocks(transformer: nn.Module, model: Model, session: Session, context: ContextName) -> None:
    stack = [(blocks, unwrap_module(block)) for blocks in model.stack for block in getattr(transformer, blocks.name)]
    registries = [HookRegistry.check_if_exists_or_initialize(block) for _, block in stack]
    if any(registry.get_hook("group_offloading") is not None for registry in registries):
        # The indicator would be evaluated before the first block's weights are brought to the device.
        raise ValueError("the blocks are offloaded in groups already; enable teacache before enable_group_offload")
    for index, ((blocks, _), registry) in enumerate(zip(stack, registries, strict=True)):
        last = index == len(stack) - 1
        first_hook = FirstBlockHook(session, blocks.returns, context, model.indicator, last=last) if not index else None
        registry.register_hook(first_hook or BlockHook(session, blocks.returns, last=last), NAME)
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def detach(transformer: nn.Module) -> None:
    """Take all of our hooks off again; does nothing where there are none."""
    transformer = unwrap_module(transformer)
    attachment: Attachment | None = getattr(transformer, ATTRIBUTE, None)
    if attachment is None:
        return
    for handle in attachment.handles:
        handle.remove()
    delattr(transformer, ATTRIBUTE)
    attachment.session.finish()
    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    registry.remove_hook(NAME, recurse=True)
    registry.invalidate_child_registries_cache()


def session_of(transformer: nn.Module) -> Session | None:
    """The session of a denoiser whose cache is on."""
    attachment: Attachment | None = getattr(unwrap_module(transformer), ATTRIBUTE, None)
    return None if attachment is None else attachment.session


def _parameter_names(module: nn.Module) -> tuple[str, ...]:
    return tuple(inspect.signature(module.forward).parameters)


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    return (value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
