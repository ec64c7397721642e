"""Turn a cache on and off: for a pipeline, or for a transformer alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import unwrap_module
from torch import nn

from teacache.coefficients import Polynomial, find_polynomial
from teacache.configs import CacheConfig, TeaCacheConfig, Uncached
from teacache.errors import AlreadyEnabledError, UnsupportedModelError
from teacache.hooks import attach, detach, session_of
from teacache.models import MODELS, Model, model_for
from teacache.policies import Always, Policy, TeaCache
from teacache.session import Session
from teacache.statistics import Stats
from teacache.trajectories import PipelineProgress, Progress, TimestepProgress

DENOISERS = ("transformer", "transformer_2")
"""The attributes of a pipeline that hold its denoisers (Wan 2.2 has two)."""


class Cache:
    """A cache that is on, or was: its config and what it did so far."""

    def __init__(self, config: CacheConfig, sessions: tuple[Session, ...]) -> None:
        self.config = config
        self._sessions = sessions

    @property
    def stats(self) -> Stats:
        """The finished runs so far."""
        return sum((session.statistics() for session in self._sessions), Stats())

    def take_stats(self) -> Stats:
        """The finished runs since the last take; starts counting afresh."""
        stats = self.stats
        for session in self._sessions:
            session.clear_statistics()
        return stats

    def discard(self) -> None:
        """Forget a run that was broken off: neither its residuals nor its statistics stay.

        After an exception inside a pipeline or the denoiser nobody has to call this for the next run to start clean;
        it frees the memory of the residuals at once. A loop written by hand that gives up between two steps has to.
        """
        for session in self._sessions:
            session.discard()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, every step of every run is computed, as if the cache were off; statistics go on."""
        with ExitStack() as stack:
            for session in self._sessions:
                stack.enter_context(session.paused())
            yield


def enable(target: DiffusionPipeline | nn.Module, config: CacheConfig | None = None) -> Cache:
    """Turn a cache on, for every denoiser of a pipeline or for one transformer.

    On a pipeline nothing else needs to be told: its scheduler says how many steps a run has and where it stands.

    Raises:
        UnsupportedModelError: teacache does not know the model.
        CoefficientsError: TeaCacheConfig without coefficients, and none are known for the model.
        AlreadyEnabledError: this cache, or one that the denoiser's `enable_cache` turned on, is on already.
        ValueError: the denoiser's blocks are offloaded in groups already.
    """
    config = TeaCacheConfig() if config is None else config
    denoisers = denoisers_of(target)
    for denoiser in denoisers:
        if session_of(denoiser) is not None:
            raise AlreadyEnabledError("teacache is enabled already; teacache.disable(...) comes first")
        if getattr(denoiser, "is_cache_enabled", False):
            raise AlreadyEnabledError("a cache of diffusers' own is enabled already; disable_cache() comes first")
    prepared = [(denoiser, *_prepare(target, denoiser, config)) for denoiser in denoisers]
    for denoiser, model, session in prepared:
        attach(denoiser, model, session, timestep="timestep" if model is None else model.timestep)
    return Cache(config, tuple(session for _, _, session in prepared))


def disable(target: DiffusionPipeline | nn.Module) -> None:
    """Take the cache off; every hook is gone afterwards. Does nothing where none is on."""
    for denoiser in denoisers_of(target):
        detach(denoiser)


@contextmanager
def enabled(target: DiffusionPipeline | nn.Module, config: CacheConfig | None = None) -> Iterator[Cache]:
    """`enable` for the length of a `with` block, and `disable` after it, whatever happens inside."""
    cache = enable(target, config)
    try:
        yield cache
    finally:
        disable(target)


def apply_teacache(module: nn.Module, config: CacheConfig | None = None) -> Cache:
    """`enable` under the name that diffusers would give it, like `apply_first_block_cache`."""
    return enable(module, config)


def denoisers_of(target: DiffusionPipeline | nn.Module) -> list[nn.Module]:
    """The denoisers of a pipeline, or the transformer itself, without a torch.compile wrapper.

    Raises:
        UnsupportedModelError: the pipeline has none.
    """
    if isinstance(target, nn.Module):
        return [unwrap_module(target)]
    found = [getattr(target, name, None) for name in DENOISERS]
    denoisers = [unwrap_module(denoiser) for denoiser in found if isinstance(denoiser, nn.Module)]
    if not denoisers:
        known = ", ".join(sorted(MODELS))
        raise UnsupportedModelError(f"{type(target).__name__} has no transformer to cache. Known: {known}")
    return denoisers


def _prepare(
    target: DiffusionPipeline | nn.Module, denoiser: nn.Module, config: CacheConfig
) -> tuple[Model | None, Session]:
    name = type(denoiser).__name__
    if isinstance(config, Uncached):
        model = next((MODELS[kind.__name__] for kind in type(denoiser).__mro__ if kind.__name__ in MODELS), None)
        return model, Session(name, progress_of(target, None), Always)
    model = model_for(denoiser)
    return model, Session(
        name, progress_of(target, config), _new_policy(target, denoiser, model, config), order=config.order
    )


def _new_policy(
    target: DiffusionPipeline | nn.Module, denoiser: nn.Module, model: Model, config: TeaCacheConfig
) -> Callable[[], Policy]:
    if config.coefficients is not None:
        found = Polynomial(coefficients=config.coefficients, fitted_range=config.fitted_range)
    else:
        pipeline = "" if isinstance(target, nn.Module) else type(target).__name__
        found = find_polynomial(
            _config_of(denoiser),
            class_name=model.transformer,
            pipeline=pipeline,
            folders=_folders(target, denoiser),
        )
    return partial(TeaCache, config, found.coefficients, found.fitted_range)


def _config_of(denoiser: nn.Module) -> Mapping[str, Any]:
    config: Any = denoiser.config
    return cast(Mapping[str, Any], config)


def _folders(target: DiffusionPipeline | nn.Module, denoiser: nn.Module) -> list[Path]:
    """Where the model was loaded from: the transformer's folder, and the pipeline's above it."""
    loaded_from = _config_of(denoiser).get("_name_or_path")
    folders = [Path(loaded_from), Path(loaded_from).parent] if loaded_from else []
    if not isinstance(target, nn.Module) and target.name_or_path:
        folders.append(Path(target.name_or_path))
    return folders


def progress_of(target: DiffusionPipeline | nn.Module, config: TeaCacheConfig | None) -> Progress:
    """How runs through the target's denoisers are told apart."""
    steps = None if config is None else config.num_inference_steps
    steps_callback = None if config is None else config.num_inference_steps_callback
    timestep_callback = None if config is None else config.current_timestep_callback
    if isinstance(target, nn.Module) or getattr(target, "scheduler", None) is None:
        return TimestepProgress(steps_callback or (lambda: steps), timestep_callback)
    if (steps, steps_callback, timestep_callback) != (None, None, None):
        warnings.warn(
            "num_inference_steps, num_inference_steps_callback and current_timestep_callback have no effect on a "
            "pipeline, whose scheduler tells; leave them out",
            stacklevel=3,
        )
    return PipelineProgress(lambda: target.scheduler)
