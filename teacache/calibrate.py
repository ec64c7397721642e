"""Fit TeaCache's polynomial on a model of one's own.

    calibration = teacache.calibrate(pipe, prompts, num_inference_steps=28)
    calibration.save(folder_of_the_model)          # enable() finds it there

The pipeline runs uncached; of every pair of consecutive steps two numbers are kept, never a tensor: x, the relative
L1 change of the indicator, and y, that of the stack's output. The polynomial y = p(x) is fitted by least squares on one
part of the prompts and judged on the others (paper, section 3.3; procedure: ali-vilab/TeaCache, issue 2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

from teacache.branches import Method
from teacache.cache import denoisers_of, progress_of
from teacache.calibration import Calibration, Target
from teacache.configs import Uncached
from teacache.hooks import attach, detach
from teacache.policies import Computed, Decision, Moment
from teacache.predictors import Extrapolation
from teacache.registry import model_for
from teacache.rows import row_norms
from teacache.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two consecutive steps of one guidance branch of one run, as relative L1 changes."""

    prompt: int
    indicator: float
    output: float
    residual: float


def calibrate(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    *,
    num_inference_steps: int = 28,
    degree: int = 4,
    target: Target = "output",
    held_out: float = 0.25,
    seed: int = 0,
    **call: Any,
) -> Calibration:
    """Run the prompts uncached, one at a time, and fit the polynomial of `TeaCacheConfig`.

    Args:
        num_inference_steps: as the cache will be used: a fit does not carry over to other numbers of steps.
        degree: of the polynomial; 4 as published (a line gets nearly all of it: paper, table 3).
        held_out: the share of the prompts, the last ones, that the fit does not see.
        seed: prompt number i runs with seed + i.
        call: further arguments of the pipeline (height, width, guidance_scale, ...), as they will be used.

    Raises:
        UnsupportedModelError: teacache does not know the model.
        ValueError: too few prompts or steps for the degree.
    """
    if not prompts:
        raise ValueError("calibrate needs at least one prompt")
    denoisers = denoisers_of(pipe)
    if len(denoisers) > 1:
        raise ValueError(f"calibrate takes pipelines with one denoiser, this one has {len(denoisers)}")
    pairs: list[Pair] = []
    for number, prompt in enumerate(prompts):
        generator = torch.Generator("cpu").manual_seed(seed + number)
        run = partial(pipe, prompt, num_inference_steps=num_inference_steps, generator=generator,
                      output_type="latent", **call)  # fmt: skip
        pairs += _record(pipe, denoisers[0], number, run)
    first_held_out = max(1, round(len(prompts) * (1 - held_out)))
    fit = [pair for pair in pairs if pair.prompt < first_held_out]
    if len(fit) <= degree:
        raise ValueError(f"{len(fit)} pairs of steps are too few for degree {degree}; give more prompts or steps")
    x, y = _columns(fit, target)
    coefficients = np.polyfit(x, y, degree)
    held_x, held_y = _columns([pair for pair in pairs if pair.prompt >= first_held_out], target)
    return Calibration(
        denoiser=model_for(denoisers[0]).transformer,
        coefficients=tuple(coefficients.tolist()),
        fitted_range=(float(x.min()), float(x.max())),
        target=target,
        pairs=len(fit),
        r2=_r2(coefficients, x, y),
        held_out_r2=_r2(coefficients, held_x, held_y) if len(held_x) > 1 else None,
        rmse=float(np.sqrt(np.mean((np.polyval(coefficients, x) - y) ** 2))),
        lowest=float(np.polyval(coefficients, np.linspace(x.min(), x.max(), 513)).min()),
        num_inference_steps=num_inference_steps,
        prompts=len(prompts),
        prompts_sha256=hashlib.sha256("\n".join(prompts).encode()).hexdigest(),
        scheduler={"class": type(pipe.scheduler).__name__, **_plain(pipe.scheduler.config)},
        dtype=str(denoisers[0].dtype).removeprefix("torch."),
        versions={"torch": torch.__version__, "diffusers": diffusers.__version__},
    )


class _Recorder:
    """A policy that computes every step and measures how indicator, output and residual changed since the last."""

    skips = True  # nothing is, but only then is it told what was computed

    def __init__(self, pairs: list[Pair], prompt: int) -> None:
        self._pairs = pairs
        self._prompt = prompt
        self._indicator: Tensor | None = None
        self._before: tuple[Tensor, Tensor, Tensor] | None = None

    def decide(self, moment: Moment) -> Decision:
        self._indicator = moment.indicator()
        return Decision.uniform(True, moment.ties.size)

    def observe(self, computed: Computed) -> None:
        assert self._indicator is not None
        now = (self._indicator, computed.stack_input + computed.residual, computed.residual)
        if self._before is not None:
            changes = [_relative_l1(current, previous) for current, previous in zip(now, self._before, strict=True)]
            self._pairs.append(Pair(prompt=self._prompt, indicator=changes[0], output=changes[1], residual=changes[2]))
        self._before = now


def _relative_l1(current: Tensor, previous: Tensor) -> float:
    """mean|current - previous| / mean|previous|: eq. 4 of the paper, with the earlier step below the line."""
    above, below = row_norms((current - previous).unsqueeze(0), previous.unsqueeze(0)).flatten().tolist()
    return float(above / below)


def _record(pipe: DiffusionPipeline, denoiser: nn.Module, prompt: int, run: Callable[[], Any]) -> list[Pair]:
    """The pairs of one run of the pipeline, over its guidance branches."""
    pairs: list[Pair] = []
    model = model_for(denoiser)
    method = Method(
        policy=lambda total: _Recorder(pairs, prompt), predictor=lambda: Extrapolation(0), granularity="sample"
    )
    attach(denoiser, model, Session(model.transformer, progress_of(pipe, Uncached()), method))
    try:
        run()
    finally:
        detach(denoiser)
    return pairs


def _columns(pairs: list[Pair], target: Target) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = np.array([pair.indicator for pair in pairs], dtype=np.float64)
    y = np.array([getattr(pair, target) for pair in pairs], dtype=np.float64)
    return x, y


def _r2(coefficients: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    errors = np.polyval(coefficients, x) - y
    return float(1 - np.sum(errors**2) / np.sum((y - y.mean()) ** 2))


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The public part of a diffusers config, as JSON takes it."""
    public = {key: value for key, value in config.items() if not key.startswith("_")}
    plain: dict[str, Any] = json.loads(json.dumps(public, default=str))
    return plain
