"""What hangs on a denoiser while its cache is on. The only file that touches diffusers.hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffusers.hooks.hooks import BaseState, CacheContext, HookRegistry, ModelHook, StateManager
from torch import nn
from torch.utils.hooks import RemovableHandle

from teacache.compiling import uncompiled
from teacache.errors import AlreadyEnabledError
from teacache.forwards import Replacement
from teacache.scheduler_steps import FollowedScheduler
from teacache.session import Session

ATTRIBUTE = "_teacache"

OTHER_CACHES = frozenset(
    f"diffusers.hooks.{name}"
    for name in ("faster_cache", "first_block_cache", "mag_cache", "pyramid_attention_broadcast", "sea_cache",
                 "taylorseer_cache", "text_kv_cache")
)  # fmt: skip
"""The modules of hooks that skip parts of a denoiser on their own."""


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


class TorchHook:
    """One of torch's own hooks on a module of the denoiser."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @uncompiled
    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return TorchHook, (_nothing,)


def _nothing(*args: Any) -> None:
    pass


class Registry(HookRegistry):
    """The attachment's; the denoiser's own registry keeps a list of those below it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return HookRegistry, (nn.Identity(),)


class Attachment(nn.Module):
    """What is on a denoiser while its cache is on: a submodule of it, without weights, that is never called.

    It carries the listener; a listener on one of the model's own modules would have to replace its forward. A copy of
    the denoiser, or a pickle, has no cache: what `__reduce__` here and above leaves there does nothing.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.handles: list[RemovableHandle] = []
        self.replaced: list[Replacement | FollowedScheduler] = []
        self.listener = Listener(session)
        self._diffusers_hook = Registry(self)
        self._diffusers_hook.register_hook(self.listener, "teacache")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


class CacheIsOn:
    """In the place of diffusers' `_cache_config`: `is_cache_enabled` tells, and its own caches are refused."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


def attachment_of(transformer: nn.Module) -> Attachment | None:
    """What is on a denoiser; None where its cache is off."""
    attachment: Attachment | None = getattr(transformer, ATTRIBUTE, None)
    return attachment


def hang(attachment: Attachment, transformer: nn.Module) -> None:
    transformer.add_module(ATTRIBUTE, attachment)
    transformer._cache_config = CacheIsOn()  # type: ignore[assignment]
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def take_off(transformer: nn.Module) -> None:
    delattr(transformer, ATTRIBUTE)
    del transformer._cache_config
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def check_no_other_cache(transformer: nn.Module) -> None:
    """Raises AlreadyEnabledError if one of diffusers' caches hangs on the denoiser or its blocks."""
    for module in transformer.modules():
        registry: HookRegistry | None = getattr(module, "_diffusers_hook", None)
        for hook in () if registry is None else registry.hooks.values():
            if type(hook).__module__ in OTHER_CACHES:
                raise AlreadyEnabledError(
                    f"{type(transformer).__name__} has a cache of diffusers' own on it ({type(hook).__name__}); "
                    "two caches do not go together, take one of them off"
                )
