"""The hooks on a denoiser and its blocks. The only file that touches diffusers.hooks.

    denoiser     takes the call to its run and branch; the pipeline's cache_context arrives here
    first block  keeps the stack input and decides
    blocks       return their inputs when the step is skipped
    last block   returns stack input + residual when the step is skipped, keeps the residual otherwise

The last block answers with the *stack's* input plus the residual, not with its own: what a model adds between blocks
(ControlNet samples) is in the residual already.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from diffusers.hooks.hooks import BaseState, CacheContext, HookRegistry, ModelHook, StateManager
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn

from teacache.models import Arguments, Indicator, Model
from teacache.session import Session

NAME = "teacache"


class _ContextName(StateManager):
    """Hears the name of the pipeline's cache_context; keeps no state of diffusers' kind."""

    def __init__(self) -> None:
        super().__init__(BaseState)
        self.name: str | None = None

    def set_context(self, context: CacheContext | None) -> None:
        self.name = None if context is None else context.name


class DenoiserHook(ModelHook):
    _is_stateful = True  # so that cache_context and the end of a pipeline call are heard

    def __init__(self, session: Session, timestep: str) -> None:
        super().__init__()
        self.session = session
        self._timestep = timestep
        self._context = _ContextName()
        self._names: tuple[str, ...] = ()

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        self._names = _parameter_names(module)
        return module

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        timestep = Arguments(self._names, args, kwargs)[self._timestep]
        device = next(_tensors(args, kwargs)).device
        with self.session.forward(timestep, self._context.name, device):
            return self.fn_ref.original_forward(*args, **kwargs)

    def reset_state(self, module: nn.Module) -> nn.Module:
        self.session.finish()
        return module


class BlockHook(ModelHook):
    """On every block of the stack; `first` and `last` mark its ends (a single block is both)."""

    def __init__(self, session: Session, returns: tuple[str, ...], indicator: Indicator, *, first: bool,
                 last: bool) -> None:  # fmt: skip
        super().__init__()
        self._session = session
        self._returns = returns
        self._position = returns.index("hidden_states")
        self._indicator = indicator
        self._first = first
        self._last = last
        self._names: tuple[str, ...] = ()

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        self._names = _parameter_names(module)
        return module

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        call = self._session.call
        if call is None:  # the block is called by something else than the denoiser's forward
            return self.fn_ref.original_forward(*args, **kwargs)
        arguments = Arguments(self._names, args, kwargs)
        if self._first:
            call.enter_stack(arguments["hidden_states"], lambda: self._indicator(module, arguments))
        if call.compute:
            output = self.fn_ref.original_forward(*args, **kwargs)
            if self._last:
                call.leave_stack(self._hidden_states(output))
            return output
        outputs = [arguments[name] for name in self._returns]
        if self._last:
            outputs[self._position] = call.leave_stack(None)
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def _hidden_states(self, output: Any) -> Tensor:
        tensor: Tensor = output[self._position] if len(self._returns) > 1 else output
        return tensor


def attach(transformer: nn.Module, model: Model | None, session: Session, *, timestep: str) -> None:
    """Put the hooks on; `model` None means on the denoiser alone."""
    transformer = unwrap_module(transformer)
    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    registry.register_hook(DenoiserHook(session, timestep), NAME)
    if model is not None:
        stack = [(blocks, block) for blocks in model.stack for block in getattr(transformer, blocks.name)]
        for index, (blocks, block) in enumerate(stack):
            hook = BlockHook(session, blocks.returns, model.indicator, first=index == 0, last=index == len(stack) - 1)
            HookRegistry.check_if_exists_or_initialize(unwrap_module(block)).register_hook(hook, NAME)
    registry.invalidate_child_registries_cache()


def detach(transformer: nn.Module) -> None:
    """Take all of our hooks off again; does nothing where there are none."""
    transformer = unwrap_module(transformer)
    if session_of(transformer) is None:
        return
    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    registry.remove_hook(NAME, recurse=True)
    registry.invalidate_child_registries_cache()


def session_of(transformer: nn.Module) -> Session | None:
    """The session of a denoiser that has our hooks."""
    registry = getattr(unwrap_module(transformer), "_diffusers_hook", None)
    hook = registry.get_hook(NAME) if registry is not None else None
    return hook.session if isinstance(hook, DenoiserHook) else None


def _parameter_names(module: nn.Module) -> tuple[str, ...]:
    return tuple(inspect.signature(module.forward).parameters)


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    return (value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
