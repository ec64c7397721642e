"""Turn a cache on and off: for a pipeline, or for a transformer alone."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from diffusers import ModularPipeline
from diffusers.utils.torch_utils import unwrap_module
from torch import nn

from teacache.attachment import check_no_other_cache
from teacache.branches import Method
from teacache.checkpoint import Target, checkpoint_of
from teacache.configs import CacheConfig, RunConfig, ScheduleConfig, TeaCacheConfig, Uncached
from teacache.errors import AlreadyEnabledError, UnsupportedModelError
from teacache.hooks import attach, detach, session_of
from teacache.methods import method_of
from teacache.models import Model, Published
from teacache.published import PUBLISHED
from teacache.registry import MODELS, find_model, model_for
from teacache.session import Session
from teacache.statistics import Stats
from teacache.trajectories import PipelineProgress, Progress, TimestepProgress

DENOISERS = ("transformer", "transformer_2", "transformer_ref", "prior")
"""The attributes of a pipeline that hold its denoisers (Wan 2.2 has two; MiniMax-H3 one more, for given references; the
pipelines of priors call theirs so)."""

BESIDE = {"transformer": "unconditional_transformer"}
"""Beside a denoiser, the one that its pipeline calls for another guidance branch at the same steps (Ideogram 4): they
go through a run as one denoiser with two branches."""


class Cache:
    """A cache that is on, or was: its config and what it did so far."""

    def __init__(self, config: CacheConfig, sessions: tuple[Session, ...]) -> None:
        self.config = config
        self._sessions = sessions
        for session in sessions:
            session.others = tuple(other for other in sessions if other is not session)

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


def enable(target: Target, config: CacheConfig | None = None, *,
           model: Model | None = None) -> Cache:  # fmt: skip
    """Turn a cache on, for every denoiser of a pipeline or for one transformer.

    On a pipeline nothing else needs to be told: its scheduler says how many steps a run has and where it stands.

    Args:
        config: `TeaCacheConfig()` if left out.
        model: the record of a transformer class that teacache does not know.

    Raises:
        UnsupportedModelError: teacache does not know the model.
        CoefficientsError: TeaCacheConfig without coefficients, and none are known for the model.
        AlreadyEnabledError: this cache, or one that the denoiser's `enable_cache` turned on, is on already.
        ValueError: a modular pipeline has no scheduler yet; or a schedule's method does not go with the model.
    """
    config = TeaCacheConfig() if config is None else config
    denoisers = named_denoisers(target)
    for denoiser in denoisers_of(target):
        check_uncached(denoiser)
    ready = [_attach(target, attribute, config, model) for attribute in denoisers]
    try:
        return Cache(config, tuple(put_on() for put_on in ready))
    except Exception:
        disable(target)
        raise


def check_uncached(denoiser: nn.Module) -> None:
    """Raises AlreadyEnabledError if a cache is on."""
    if session_of(denoiser) is not None:
        raise AlreadyEnabledError("teacache is enabled already; teacache.disable(...) comes first")
    if getattr(denoiser, "_cache_config", None) is not None:
        raise AlreadyEnabledError("a cache of diffusers' own is enabled already; disable_cache() comes first")
    check_no_other_cache(denoiser)


def disable(target: Target) -> None:
    """Take the cache off; every hook is gone afterwards. Does nothing where none is on."""
    for denoiser in denoisers_of(target):
        detach(denoiser)


@contextmanager
def enabled(target: Target, config: CacheConfig | None = None, *,
            model: Model | None = None) -> Iterator[Cache]:  # fmt: skip
    """`enable` for the length of a `with` block, and `disable` after it, whatever happens inside."""
    cache = enable(target, config, model=model)
    try:
        yield cache
    finally:
        disable(target)


def apply_teacache(module: nn.Module, config: CacheConfig | None = None, *, model: Model | None = None) -> Cache:
    """`enable` under the name that diffusers would give it, like `apply_first_block_cache`."""
    return enable(module, config, model=model)


@contextmanager
def with_method(pipe: Target, method_for: Callable[[str, Progress], Method]) -> Iterator[None]:
    """Inside, a method of one's own is on: made for each denoiser from the pipeline's attribute and how runs go."""
    with ExitStack() as stack:
        for name, denoiser in named_denoisers(pipe).items():
            model, progress = model_for(denoiser), progress_of(pipe, Uncached())
            session = Session(model.transformer, progress, method_for(name, progress))
            for one in called_together(pipe, name):
                check_uncached(one)
                attach(one, model, session)
                stack.callback(detach, one)
        yield


def named_denoisers(target: Target) -> dict[str, nn.Module]:
    """The denoisers of a pipeline by its attributes, or the transformer itself, without a torch.compile wrapper.

    Raises:
        UnsupportedModelError: the pipeline has none.
    """
    if isinstance(target, nn.Module):
        return {_attribute(target): unwrap_module(target)}
    found = {name: getattr(target, name) for name in denoisers_among(lambda name: hasattr(target, name))}
    denoisers = {name: unwrap_module(module) for name, module in found.items() if isinstance(module, nn.Module)}
    if not denoisers:
        known = ", ".join(sorted(MODELS))
        priors = [name for name in ("prior", "prior_pipe") if hasattr(target, name)]
        hint = "".join(f". Its prior can be cached: teacache.enable(pipe.{name}, ...)" for name in priors)
        raise UnsupportedModelError(f"{type(target).__name__} has no transformer to cache. Known: {known}{hint}")
    return denoisers


def denoisers_among(has: Callable[[str], bool]) -> list[str]:
    """The names of a pipeline's denoisers. A prior is none where the pipeline's own scheduler is for what comes after
    it (Stable unCLIP).

    Args:
        has: says whether the pipeline has a component of this name.
    """
    return [name for name in filter(has, DENOISERS) if name != "prior" or not has("prior_scheduler")]


def denoisers_of(target: Target) -> list[nn.Module]:
    """The same without their names, and those beside them."""
    return [one for name in named_denoisers(target) for one in called_together(target, name)]


def called_together(target: Target, name: str) -> list[nn.Module]:
    """One of the target's denoisers, and the one beside it where there is one."""
    beside = None if isinstance(target, nn.Module) else getattr(target, BESIDE.get(name, ""), None)
    one, other = named_denoisers(target)[name], unwrap_module(beside) if isinstance(beside, nn.Module) else None
    return [one] if other is None or other is one else [one, other]


def _attribute(transformer: nn.Module) -> str:
    """The attribute of a pipeline that a transformer alone was saved under, from the folder that it came from."""
    name = Path(str(getattr(transformer, "config", {}).get("_name_or_path"))).name
    return name if name in DENOISERS else DENOISERS[0]


def _attach(target: Target, attribute: str, config: CacheConfig,
            model: Model | None) -> Callable[[], Session]:  # fmt: skip
    """Prepares everything that may be refused; what it returns puts the hooks on."""
    denoisers = named_denoisers(target)
    denoiser = denoisers[attribute]
    if model is None:
        model = find_model(denoiser) if isinstance(config, Uncached) else model_for(denoiser)
    progress = progress_of(target, config)
    checkpoint = checkpoint_of(target, denoiser, model, attribute=attribute, denoisers=len(denoisers))
    method, indicator = method_of(config, progress, checkpoint)
    session = Session(type(denoiser).__name__, progress, method)
    # Only the published method ends the residual where its authors did: a line through residuals that hold the last
    # norm would extrapolate its modulation as well, which is known exactly.
    exit_at = model.published_exit if model is not None and isinstance(config, TeaCacheConfig) else ""

    def put_on() -> Session:
        for one in called_together(target, attribute):
            attach(one, model, session, indicator=indicator, exit_at=exit_at)
        return session

    return put_on


def progress_of(target: Target, config: CacheConfig) -> Progress:
    """How runs through the target's denoisers are told apart."""
    own = RunConfig() if isinstance(config, Uncached) else config
    steps, steps_callback = own.num_inference_steps, own.num_inference_steps_callback
    if isinstance(target, ModularPipeline) and getattr(target, "scheduler", target) is None:
        raise ValueError(
            f"the scheduler of {type(target).__name__}, which tells where a run stands, is not loaded yet; load the "
            "pipeline's components before the cache is turned on, or turn it on for the transformer"
        )
    if isinstance(target, nn.Module) or getattr(target, "scheduler", None) is None:
        return TimestepProgress(steps_callback or (lambda: steps), own.current_timestep_callback)
    checked = isinstance(config, ScheduleConfig)
    if (steps_callback, own.current_timestep_callback) != (None, None) or (steps is not None and not checked):
        warnings.warn(
            "num_inference_steps, num_inference_steps_callback and current_timestep_callback have no effect on a "
            "pipeline, whose scheduler tells; leave them out",
            stacklevel=4,
        )
    pipeline = weakref.ref(target)  # a Cache that somebody holds on to keeps no pipeline alive
    return PipelineProgress(lambda: pipeline().scheduler, lambda: getattr(pipeline(), "_num_timesteps", None))  # type: ignore[union-attr]


def published_for(target: Target) -> tuple[Published, ...]:
    """The recipes that were published for the target's model class, whatever its checkpoint."""
    classes = {model_for(denoiser).transformer for denoiser in denoisers_of(target)}
    return tuple(entry for entry in PUBLISHED if entry.transformer in classes)
