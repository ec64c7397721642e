"""`python -m tests.benchmarks.fidelity`: how near do cached pictures come to uncached ones, at what compute?

Held-out captions on the demo FLUX; PSNR in dB of the pixels against the uncached run of the same seeds, averaged over
pictures. Compute is the uncached run's block evaluations over the method's.
"""

from __future__ import annotations

import argparse
import statistics

import teacache
from jobs.audit import fidelity
from jobs.demo.dataset import Pixels
from jobs.demo.models import RECIPES, load
from jobs.demo.score import generate

THRESHOLDS = (0.1, 0.15, 0.2, 0.3, 0.4)


def psnr(pictures: list[Pixels], references: list[Pixels]) -> float:
    """Mean over pictures; 100 dB stands for equal ones."""
    return statistics.fmean(fidelity(*pair)[0] for pair in zip(pictures, references, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=28)
    options = parser.parse_args()
    pipe, recipe = load("flux"), RECIPES["flux"]()
    scenes = recipe.dataset.held_out(options.samples, seed=11)
    uncached = generate(pipe, recipe, scenes, steps=options.steps)
    rows = []
    for steps in (options.steps // 2, options.steps // 3, options.steps // 4):
        found = psnr(generate(pipe, recipe, scenes, steps=steps), uncached)
        rows.append((f"{steps} steps, no cache", options.steps / steps, found))
    for order in (0, 1):
        for threshold in THRESHOLDS:
            with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=threshold, order=order)) as cache:
                found = psnr(generate(pipe, recipe, scenes, steps=options.steps), uncached)
            name = f"TeaCacheConfig(rel_l1_thresh={threshold}, order={order})"
            rows.append((name, cache.stats.steps / cache.stats.computed, found))
    print(f"{options.samples} samples, {options.steps} steps\n\n| method | compute | PSNR dB |\n|---|---|---|")
    for name, compute, found in rows:
        print(f"| {name} | {compute:.2f}x | {found:.1f} |")


if __name__ == "__main__":
    main()
