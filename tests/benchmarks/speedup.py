"""`python -m tests.benchmarks.speedup`: does wall time follow the computed steps?

Runs a demo model with and without the cache in turn, same prompts and seeds, after one warm-up of each, and compares
the median ratio of their times with the ideal, steps / computed steps. Each sample of the batch decides for itself; for
comparison, what the ideal would be if the whole batch computed every step that any of its samples computes.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from diffusers import DiffusionPipeline

import teacache
from jobs.demo.models import RECIPES, load


def timed_run(pipe: DiffusionPipeline, model: str, prompts: list[str], steps: int) -> float:
    """Wall seconds of one pipeline call."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(prompts))]
    started = time.perf_counter()
    pipe(prompts, num_inference_steps=steps, generator=generators, output_type="np", **RECIPES[model]().call)
    return time.perf_counter() - started


def config_of(
    options: argparse.Namespace,
) -> teacache.TeaCacheConfig | teacache.AdaptiveConfig | teacache.ScheduleConfig:
    """What is asked for."""
    if options.computed is not None:
        return teacache.ScheduleConfig(computed=options.computed, calibration=options.calibration)
    if options.tolerance is not None:
        return teacache.AdaptiveConfig(tolerance=options.tolerance, granularity=options.granularity)
    return teacache.TeaCacheConfig(rel_l1_thresh=options.rel_l1_thresh, granularity=options.granularity)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(RECIPES), default="flux")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rel-l1-thresh", type=float, default=teacache.TeaCacheConfig().rel_l1_thresh)
    parser.add_argument("--granularity", choices=["sample", "batch"], default="sample")
    parser.add_argument("--tolerance", type=float, help="of AdaptiveConfig, in the place of TeaCacheConfig")
    parser.add_argument("--computed", type=int, help="of ScheduleConfig, in its place")
    parser.add_argument("--calibration", help="of the schedule; where left out, that beside the weights")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipe = load(options.model)
    prompts = [scene.caption for scene in RECIPES[options.model]().dataset.held_out(options.batch_size, seed=5)]
    whole, denoiser = [], []
    config = config_of(options)
    with teacache.enabled(pipe, config) as cache:
        for pair in range(options.pairs + 1):
            with cache.paused():
                uncached_seconds = timed_run(pipe, options.model, prompts, options.steps)
            uncached = cache.take_stats()
            cached_seconds = timed_run(pipe, options.model, prompts, options.steps)
            cached = cache.take_stats()
            if pair > 0:  # the first is the warm-up
                whole.append(uncached_seconds / cached_seconds)
                denoiser.append(uncached.seconds / cached.seconds)
    ideal = cached.steps / cached.computed
    any_computes = sum(any(samples) for call in cached.calls for samples in zip(*call.computed, strict=True))
    together = cached.steps / options.batch_size / any_computes
    method = f"{type(config).__name__}, granularity {config.granularity}"
    print(f"{options.model}, batch {options.batch_size}, {options.threads} thread(s), {method}")
    print(f"steps {cached.steps}, computed {cached.computed}, ideal speed-up {ideal:.3f}, "
          f"{together:.3f} if the batch kept together")  # fmt: skip
    for name, ratios in (("denoiser", denoiser), ("pipeline call", whole)):
        median = statistics.median(ratios)
        print(f"{name}: {median:.3f} (median of {len(ratios)}; {min(ratios):.3f} to {max(ratios):.3f}), "
              f"{median / ideal:.3f} of ideal")  # fmt: skip


if __name__ == "__main__":
    main()
