"""The hooks on a denoiser and its blocks. The only file that touches diffusers.hooks.

    denoiser     torch's own forward hooks: begin and end of a call
    first block  keeps the stack input and decides for every row
    blocks       compute the rows that are due, let the others pass unchanged
    exit         the last block, or the module before which a published residual ends: puts stack input + residual in
                 the place of skipped rows, keeps the residual of the others

The exit answers with the *stack's* input plus the residual, not with its own: what a model adds between blocks
(ControlNet samples) is in the residual already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.hooks.hooks import BaseState, CacheContext, HookRegistry, ModelHook, StateManager
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from teacache.branches import StackInput
from teacache.forwards import BlockForward, IdleForward, parameter_names, uncompiled
from teacache.models import Arguments, Indicator, Model
from teacache.session import Call, Session

ATTRIBUTE = "_teacache"


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
    names, context = parameter_names(transformer), attachment.listener.context
    timestep, noisy = ("timestep", "hidden_states") if model is None else (model.timestep, model.latents)
    inputs: dict[str, Any] = {}

    @uncompiled
    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module is not transformer:  # a deep copy, which takes torch's hooks along
            return
        arguments = Arguments(names, args, kwargs)
        latents = arguments.get(noisy)
        inputs["latents"] = latents if model and model.guidance == "batch" else None
        device = next(_tensors((*args, *kwargs.values()))).device
        session.begin(lambda: arguments[timestep], context.name, device, 1 if latents is None else len(latents))

    @uncompiled
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

    @uncompiled
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

    @uncompiled
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
