"""`python -m tests.benchmarks.overhead`: what does the cache cost where it saves nothing?

Times the denoiser in the demo FLUX's pipeline with no cache at all and with each method set to compute every step, step
by step in turn and with the same weights in memory, so that all see the same load of the machine. Prints the median of
the ratios with its 95 % interval, from order statistics: nothing is assumed of how they spread. And counts, for
FLUX.1-dev at 1024x1024, what each method adds to a computed step in operations and bytes.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn
from tqdm import tqdm

import teacache
from jobs.demo.models import load

METHODS: dict[str, teacache.configs.CacheConfig | None] = {
    "no cache": None,
    "no cache, again": None,
    "Uncached": teacache.Uncached(),
    "ScheduleConfig, all steps": teacache.ScheduleConfig(steps=tuple(range(28))),
    "TeaCacheConfig, threshold 0": teacache.TeaCacheConfig(rel_l1_thresh=0.0, coefficients=(1.0, 0.0)),
    "AdaptiveConfig, tolerance 0": teacache.AdaptiveConfig(tolerance=0.0),
}
"""The first is what the others are compared with, the second shows how far nothing at all seems to be from it."""
PUBLISHED = "TeaCache as published"
"""What its loop for FLUX computes at a step, of a whole batch at once, at no more than two hooks of torch."""
NAMES = (*METHODS, PUBLISHED)

TOKENS, TEXT, WIDTH, DOUBLE, SINGLE = 4096, 512, 3072, 19, 38
"""FLUX.1-dev at 1024x1024."""

ADDED = {
    "ScheduleConfig": (1, 3),  # residual
    "TeaCacheConfig": (6, 10),  # residual, the indicator's difference to the last one, two norms, a copy
    "AdaptiveConfig": (8, 11),  # residual, the line through the last two, its error, two norms
}
"""Operations per element of the image tokens' hidden states, and elements read or written, each per element. The
indicator itself is no addition: the first block goes on with it."""


def timed_calls(
    pipelines: dict[str, DiffusionPipeline], steps: int, batch_size: int, order: random.Random
) -> dict[str, list[float]]:
    """CPU seconds of every denoiser call of one run. The pipelines take turns at each step, in a new order, so that
    none always comes after the same other one and finds what that left in the processor's caches."""
    config = pipelines["no cache"].transformer.config
    generator = torch.Generator().manual_seed(0)
    side, text = 8, 16
    latents = torch.randn(batch_size, side * side, config.in_channels, generator=generator)
    inputs = {
        "encoder_hidden_states": torch.randn(batch_size, text, config.joint_attention_dim, generator=generator),
        "pooled_projections": torch.randn(batch_size, config.pooled_projection_dim, generator=generator),
        "txt_ids": torch.zeros(text, 3),
        "img_ids": torch.cartesian_prod(torch.zeros(1), *[torch.arange(float(side))] * 2),
    }
    for pipeline in pipelines.values():
        pipeline.scheduler.set_timesteps(steps)
    seconds: dict[str, list[float]] = {name: [] for name in pipelines}
    for step in range(steps):
        for name in order.sample(list(pipelines), len(pipelines)):
            denoiser, scheduler = pipelines[name].transformer, pipelines[name].scheduler
            timestep = scheduler.timesteps[step]
            of_rows = timestep.expand(batch_size) / scheduler.config.num_train_timesteps
            with denoiser.cache_context("cond"):
                started = time.thread_time()
                (output,) = denoiser(hidden_states=latents, timestep=of_rows, return_dict=False, **inputs)
                seconds[name].append(time.thread_time() - started)
            scheduler.step(output, timestep, latents)
    return seconds


@contextmanager
def published(transformer: Any) -> Iterator[None]:
    """The arithmetic of TeaCache4FLUX/teacache_flux.py (ali-vilab/TeaCache) with every step computed: the change and
    the residual."""
    first, last = transformer.transformer_blocks[0], transformer.single_transformer_blocks[-1]
    known: dict[str, Any] = {}
    rescale = np.poly1d([4.98651651e02, -2.83781631e02, 5.58554382e01, -3.82021401e00, 2.64230861e-01])

    def enter(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        indicator = block.norm1(kwargs["hidden_states"].clone(), emb=kwargs["temb"].clone())[0]
        if "indicator" in known:
            change = (indicator - known["indicator"]).abs().mean() / known["indicator"].abs().mean()
            known["sum"] = known.get("sum", 0.0) + rescale(change.cpu().item())
        known["indicator"], known["input"] = indicator, kwargs["hidden_states"].clone()

    def leave(block: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        known["residual"] = output[1] - known["input"]

    handles = first.register_forward_pre_hook(enter, with_kwargs=True), last.register_forward_hook(leave)
    yield
    for handle in handles:
        handle.remove()


def timed_run(instances: list[DiffusionPipeline], batch_size: int, order: random.Random) -> dict[str, list[float]]:
    """The same of a run in which each instance of the pipeline has another method: where the pieces of an instance lie
    in memory takes up to half a percent of its time, which is none of the method's."""
    pipelines = dict(zip(NAMES, order.sample(instances, len(instances)), strict=True))
    with ExitStack() as stack, torch.no_grad():
        caches = [stack.enter_context(teacache.enabled(pipelines[name], config))
                  for name, config in METHODS.items() if config is not None]  # fmt: skip
        stack.enter_context(published(pipelines[PUBLISHED].transformer))
        seconds = timed_calls(pipelines, 28, batch_size, order)
        assert all(cache.stats.skipped == 0 and cache.stats.steps == 28 * batch_size for cache in caches)
    return seconds


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a median: the number of values below it is that of heads among as many coins."""
    ordered, count = sorted(values), len(values)
    reach = statistics.NormalDist().inv_cdf(0.975) * math.sqrt(count) / 2
    low, high = math.floor(count / 2 - reach) - 1, math.ceil(count / 2 + reach)
    return ordered[max(low, 0)], ordered[min(high, count - 1)]


def on_paper() -> None:
    """Prints what a computed step of FLUX.1-dev costs, bfloat16, batch 1, and what the cache adds to it."""
    tokens, elements = TOKENS + TEXT, TOKENS * WIDTH
    # Per token and block the matrices hold 12 WIDTH^2 weights, and attention takes 4 WIDTH operations per token pair.
    operations = (DOUBLE + SINGLE) * (2 * 12 * WIDTH**2 * tokens + 4 * tokens**2 * WIDTH)
    # A double block has them twice, and 6 WIDTH^2 of modulation for each; a single one has 3 WIDTH^2 of modulation.
    weights = (DOUBLE * 2 * 18 + SINGLE * 15) * WIDTH**2
    # Input and output of every matrix and of attention: 20 WIDTH per token in a double block, 18 in a single one.
    activations = (DOUBLE * 20 + SINGLE * 18) * WIDTH * tokens
    moved = 2 * (weights + activations)
    print(
        f"FLUX.1-dev, 1024x1024, blocks of one step: {operations / 1e12:.1f} T operations, {moved / 1e9:.1f} GB moved"
    )
    for name, (per_element, touched) in ADDED.items():
        more, bytes_more = per_element * elements, 2 * touched * elements
        print(f"  {name} adds {more / 1e9:.2f} G operations ({more / operations:.5%}), "
              f"{bytes_more / 1e9:.2f} GB ({bytes_more / moved:.2%})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    instances = [load("flux") for _ in NAMES]
    for pipeline in instances:
        pipeline.transformer.load_state_dict(instances[0].transformer.state_dict(), assign=True)
    ratios: dict[str, list[float]] = {name: [] for name in NAMES}
    order = random.Random(0)
    timed_run(instances, options.batch_size, order)  # the first is the warm-up
    for _ in tqdm(range(options.rounds), desc="rounds"):
        seconds = timed_run(instances, options.batch_size, order)
        for name, values in seconds.items():
            ratios[name] += [value / plain for value, plain in zip(values, seconds["no cache"], strict=True)]
    print(f"demo FLUX, batch {options.batch_size}, every step computed, CPU time of a denoiser call over no cache")
    for name, values in ratios.items():
        low, high = interval_of_median(values)
        first, _, third = statistics.quantiles(values, n=4)
        print(
            f"  {name}: {statistics.median(values) - 1:+.2%} [{low - 1:+.2%}, {high - 1:+.2%}] "
            f"(median of {len(values)} pairs and its 95 % interval; quartiles {first - 1:+.2%}, {third - 1:+.2%})"
        )
    on_paper()


if __name__ == "__main__":
    main()
