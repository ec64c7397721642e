"""Puts the hooks on a denoiser and its blocks, and takes them off.

    denoiser     begins and ends a call; under a measured schedule skipped steps do not run it, and the `step` of the
                 pipeline's scheduler is replaced as well
    first block  keeps the stack input and decides for every row
    blocks       compute the rows that are due, let the others pass unchanged
    exit         the last block, or the module before which a published residual ends: puts stack input + residual in
                 the place of skipped rows, keeps the residual of the others; each of several streams has its own

The exit answers with the *stack's* input plus the residual, not with its own: what a model adds between blocks
(ControlNet samples) is in the residual already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn

from teacache.attachment import Attachment, TorchHook, attachment_of, check_no_other_cache, hang, take_off
from teacache.branches import Batch, StackInput
from teacache.compiling import uncompiled
from teacache.forwards import BlockForward, DenoiserForward, IdleForward, TurnedForward, parameter_names
from teacache.kinds import Kind, kind_of, tensors_in
from teacache.models import Arguments, Indicator, Model
from teacache.ranks import ranks_of
from teacache.scheduler_steps import FollowedScheduler
from teacache.session import Call, Session
from teacache.sharing import Shared


def attach(transformer: nn.Module, model: Model | None, session: Session, *, indicator: str = "",
           exit_at: str = "") -> None:  # fmt: skip
    """Put the hooks on.

    Args:
        model: None means on the denoiser alone, without its blocks.
        indicator: the name of one of the model's indicators; "" its default.
        exit_at: the submodule before which the residual ends; "" means where the model's record says.

    Raises:
        ValueError: the scheduler is to get sums of outputs, and the model has a stream that goes by it.
    """
    transformer = unwrap_module(transformer)
    if session.passes_on and model is not None and model.otherwise_scheduled:
        raise ValueError(
            f"a measured schedule supplies one scheduler, and {type(transformer).__name__} has streams "
            f"({', '.join(model.otherwise_scheduled)}) that go by another one; order=1 takes the schedule for lines"
        )
    attachment = Attachment(session)
    names, context = parameter_names(transformer), attachment.listener.context
    timestep, noisy = ("timestep", "hidden_states") if model is None else (model.timestep, model.latents)
    scheduler: FollowedScheduler | None = None

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arguments = Arguments(names, args, kwargs)
        if model is not None and model.apart is not None and model.apart(arguments):
            session.step_aside()
            return None
        kinds: tuple[Kind, ...] = ()
        if scheduler is not None:
            scheduler.follow()
            if not (torch.is_grad_enabled() and _has_gradients(transformer, args, kwargs)):  # memory has none
                kinds = tuple(map(kind_of, tensors_in(arguments.get(noisy))))

        def batch() -> Batch:
            latents, first = arguments.get(noisy), next(tensors_in((*args, *kwargs.values())))
            return Batch(1 if latents is None else len(latents), first.device, ranks_of(transformer))

        def stands_at() -> Any:
            return arguments[timestep] if isinstance(timestep, str) else timestep(arguments)

        call = session.begin(stands_at, context.name, batch, kinds)
        if session.starts:
            check_no_other_cache(transformer)
        call.latents = arguments.get(noisy)
        return call.answer

    if model is not None:
        _attach_to_stack(transformer, model, attachment, indicator or model.indicator, exit_at or model.exit)
    if session.passes_on:
        scheduler = FollowedScheduler(session.scheduler, session.to_scheduler)
        attachment.replaced.append(scheduler)
    attachment.replaced.append(DenoiserForward(transformer, session, begin))
    hang(attachment, transformer)


def _attach_to_stack(
    transformer: nn.Module, model: Model, attachment: Attachment, indicator: str, exit_at: str
) -> None:
    session = attachment.session
    lists = [(blocks, _blocks_of(transformer, blocks.name)) for blocks in model.stack]
    on_block = TurnedForward if model.rows.turns else BlockForward
    stack = [on_block(unwrap_module(block), session, model, blocks) for blocks, found in lists for block in found]
    idle = [module for name in model.idle for module in getattr(transformer, name) or ()]
    attachment.replaced += [*stack, *(IdleForward(unwrap_module(module), session, model) for module in idle)]
    first, names = stack[0], model.streams
    evaluate = _evaluator(transformer, attachment, model, model.indicators.get(indicator, Indicator()), first)

    def latents_of(call: Call) -> Tensor | None:
        return _stacked(call.latents) if model.guidance == "batch" else None

    def enter(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments, rows = Arguments(first.names, args, kwargs), 0 if call.latents is None else len(call.latents)
        streams = tuple(model.rows.first(name, tokens, rows) for name in names
                        if (tokens := arguments[name]) is not None)  # fmt: skip
        if model.count is not None:
            streams = (streams[0][:, -model.count(arguments) :], *streams[1:])
        mask = arguments.get(model.mask) if model.mask else None
        if mask is not None and mask.ndim > 2:  # over keys, of which text may be the last ones
            mask = mask.flatten(1)[:, : streams[0].shape[1]]
        stack = StackInput(streams, mask)
        call.enter_stack(stack, lambda: evaluate(arguments, rows), lambda: latents_of(call))
        if not call.whole and first.shared is not None:
            first.shared.forget()

    first.enter = uncompiled(enter)
    if not exit_at:
        stack[-1].exits = True
        return
    module = transformer.get_submodule(exit_at)

    def leave(exit_module: nn.Module, args: tuple[Any, ...]) -> Any:
        call, name = session.call, model.hidden_states
        if exit_module is not module or call is None or not call.entered:
            return None
        (tokens,) = call.leave_stack(model.rows.first(name, args[0], call.rows.size))
        return (model.rows.back(name, tokens), *args[1:])

    attachment.handles.append(module.register_forward_pre_hook(TorchHook(leave)))


def _blocks_of(transformer: nn.Module, name: str) -> Any:
    """Raises ValueError if a record names blocks that the transformer does not have."""
    try:
        return transformer.get_submodule(name)
    except AttributeError:
        raise ValueError(
            f"{type(transformer).__name__} has no {name}; the record of its blocks is for another class"
        ) from None


def _evaluator(transformer: nn.Module, attachment: Attachment, model: Model, indicator: Indicator,
               first: BlockForward) -> Callable[[Arguments, int], Tensor]:  # fmt: skip
    """Evaluates an indicator when the first block is about to run, from its arguments and the number of rows."""
    if not indicator.module:
        of_block = indicator.of_block
        first.shared = shared = _shared(first, indicator)

        def evaluate(arguments: Arguments, rows: int) -> Tensor:
            assert of_block is not None
            with torch.no_grad():
                asked = (first.module, arguments)
                found = of_block(*asked) if shared is None else shared.ask(of_block, *asked)
            return model.rows.first(model.hidden_states, found, rows)  # type: ignore[no-any-return]

        return evaluate
    module, seen = transformer.get_submodule(indicator.module), {}

    def watch(watched: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if watched is module:
            seen["output"] = output.detach()

    attachment.handles.append(module.register_forward_hook(TorchHook(watch)))
    return lambda arguments, rows: seen["output"]


def _shared(first: BlockForward, indicator: Indicator) -> Shared | None:
    return Shared(first.module.get_submodule(indicator.shares), first.original) if indicator.shares else None


def _has_gradients(transformer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    tensors = (*tensors_in(args), *tensors_in(kwargs), *transformer.parameters())
    return any(tensor.requires_grad for tensor in tensors)


def detach(transformer: nn.Module) -> None:
    """Take all of our hooks off again; does nothing where there are none."""
    transformer = unwrap_module(transformer)
    attachment = attachment_of(transformer)
    if attachment is None:
        return
    for handle in attachment.handles:
        handle.remove()
    for replacement in attachment.replaced:
        replacement.undo()
    take_off(transformer)
    attachment.session.finish()


def session_of(transformer: nn.Module) -> Session | None:
    """The session of a denoiser whose cache is on."""
    attachment = attachment_of(unwrap_module(transformer))
    return None if attachment is None else attachment.session


def _stacked(latents: Any) -> Tensor | None:
    """The latents as one tensor, rows first, with what a row may have beside them, as given pictures; None where rows
    are of several shapes or hold none."""
    if isinstance(latents, Tensor) or latents is None:
        return latents
    rows = [tuple(tensors_in(one)) for one in latents]
    shapes = [[tensor.shape for tensor in row] for row in rows]
    same = shapes and shapes[0] and all(shape == shapes[0] for shape in shapes)
    return torch.stack([torch.cat([tensor.flatten() for tensor in row]) for row in rows]) if same else None
