"""`python -m tests.benchmarks.fidelity`: how near do cached pictures come to uncached ones, at what compute?

Held-out captions on the demo FLUX; PSNR in dB of the pixels against the uncached run of the same seeds, averaged over
pictures. Compute is the uncached run's block evaluations over the method's.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import fields

import teacache
from jobs.accounting.audit import fidelity
from jobs.demo.dataset import Pixels
from jobs.demo.models import RECIPES, load
from jobs.demo.score import generate

CONFIGS: tuple[teacache.TeaCacheConfig | teacache.AdaptiveConfig | teacache.ScheduleConfig, ...] = (
    *(
        teacache.TeaCacheConfig(rel_l1_thresh=threshold, order=order)
        for order in (0, 1)
        for threshold in (0.1, 0.15, 0.2, 0.3, 0.4)
    ),
    *(teacache.AdaptiveConfig(tolerance=tolerance) for tolerance in (0.05, 0.1, 0.2, 0.4)),
    *(teacache.ScheduleConfig(computed=computed) for computed in (14, 9, 7, 6, 5)),
)


STEPS = 28
"""As the demo's calibration was measured with."""


def named(config: teacache.TeaCacheConfig | teacache.AdaptiveConfig | teacache.ScheduleConfig) -> str:
    """The config's class and what differs from its defaults."""
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    differing = [f"{field.name}={given[field.name]}" for field in fields(config) if given[field.name] != field.default]
    return f"{type(config).__name__}({', '.join(differing)})"


def psnr(pictures: list[Pixels], references: list[Pixels]) -> float:
    """Mean over pictures; 100 dB stands for equal ones."""
    return statistics.fmean(fidelity(*pair)[0] for pair in zip(pictures, references, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    pipe, recipe = load("flux"), RECIPES["flux"]()
    scenes = recipe.dataset.held_out(options.samples, seed=11)
    uncached = generate(pipe, recipe, scenes, steps=STEPS)
    rows = []
    for steps in (14, 9, 7, 6, 5):
        found = psnr(generate(pipe, recipe, scenes, steps=steps), uncached)
        rows.append((f"{steps} steps, no cache", STEPS / steps, found))
    for config in CONFIGS:
        with teacache.enabled(pipe, config) as cache:
            found = psnr(generate(pipe, recipe, scenes, steps=STEPS), uncached)
        rows.append((named(config), cache.stats.steps / cache.stats.computed, found))
    print(f"{options.samples} samples, {STEPS} steps\n\n| method | compute | PSNR dB |\n|---|---|---|")
    for name, compute, found in rows:
        print(f"| {name} | {compute:.2f}x | {found:.1f} |")


if __name__ == "__main__":
    main()
