"""On request, diffusers' own `enable_cache` takes teacache's configs, on every model class.

teacache.register()
pipe.transformer.enable_cache(teacache.AdaptiveConfig(tolerance=0.05))
pipe.transformer.disable_cache()
teacache.unregister()
"""

from __future__ import annotations

from typing import Any, get_args

from diffusers import ModelMixin
from diffusers.models.cache_utils import CacheMixin

from teacache.cache import Cache, disable, enable
from teacache.configs import CacheConfig
from teacache.hooks import session_of

_ABSENT = object()
_BEFORE: dict[type, dict[str, Any]] = {}
"""While registered: what the classes held under the names that are replaced."""


def register() -> None:
    """Let `enable_cache` and `disable_cache` of every diffusers model take teacache's configs too.

    Other configs go on to diffusers' own code. Classes that diffusers gives no caching (Lumina2, SD3, HiDream,
    Z-Image ...) gain `enable_cache`, `disable_cache`, `is_cache_enabled` and `cache_context`. As with
    `teacache.enable(transformer)` the runs are told apart by their timesteps alone, so after one that was broken off
    `Cache.discard` is to be called, lest an image-to-image run that starts further down is taken for the rest of it;
    `teacache.enable(pipe)` follows the scheduler, and lets AdaptiveConfig weigh its steps. Changes two classes,
    `ModelMixin` and `CacheMixin`, until `unregister`. Registering twice is the same as once.
    """
    if _BEFORE:
        return
    replaced = {"enable_cache": enable_cache, "disable_cache": disable_cache}
    names = ("_cache_config", "is_cache_enabled", "cache_context", "_reset_stateful_cache")
    gained = {name: vars(CacheMixin)[name] for name in names}
    for owner, changes in ((CacheMixin, replaced), (ModelMixin, {**gained, **replaced})):
        _BEFORE[owner] = {name: vars(owner).get(name, _ABSENT) for name in changes}
        for name, value in changes.items():
            setattr(owner, name, value)


def unregister() -> None:
    """Undo `register`, if it was called; caches that are on stay on until `teacache.disable`."""
    for owner, before in _BEFORE.items():
        for name, value in before.items():
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
    _BEFORE.clear()


def enable_cache(self: Any, config: Any) -> Cache | None:
    """diffusers' `enable_cache`, which takes teacache's configs as well and returns the `Cache` for those.

    Raises:
        AlreadyEnabledError: a cache is on already.
    """
    if isinstance(config, get_args(CacheConfig)):
        return enable(self, config)
    _BEFORE[CacheMixin]["enable_cache"](self, config)
    return None


def disable_cache(self: Any) -> None:
    """diffusers' `disable_cache`, which takes off teacache's as well."""
    if session_of(self) is None:
        _BEFORE[CacheMixin]["disable_cache"](self)
    else:
        disable(self)
