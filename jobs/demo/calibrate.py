"""`python -m jobs.demo.calibrate MODEL`: measure a demo model's polynomial and schedules, kept beside the weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import teacache
from jobs.demo.models import HERE, RECIPES, load

PROMPTS = 24


def calibrate(model: str, folder: Path, steps: int | None = None) -> teacache.Calibration:
    """Fit on captions of the training set, so that the held-out ones stay unseen by every part of the demo.

    Args:
        steps: the model's own number where left out.
    """
    recipe = RECIPES[model]()
    scenes = recipe.dataset.training()
    picks = np.random.default_rng(24).permutation(len(scenes))[:PROMPTS]
    prompts = [scenes[index].caption for index in picks]
    pipe = load(model, folder)
    return teacache.calibrate(pipe, prompts, num_inference_steps=steps or recipe.num_inference_steps, **recipe.call)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo.calibrate", description=__doc__)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("--folder", type=Path, default=None, help="the trained pipeline (default: the packaged one)")
    options = parser.parse_args(arguments)
    folder = options.folder or HERE / options.model
    calibration = calibrate(options.model, folder)
    print(f"wrote {calibration.save(folder)}")
    fit = calibration.polynomial()
    print(f"p(x), highest degree first: {', '.join(f'{value:.6g}' for value in fit.coefficients)}")
    print(f"fitted on x from {fit.fitted_range[0]:.4f} to {fit.fitted_range[1]:.4f}, {fit.pairs} pairs, "
          f"R2 {fit.r2:.3f}, held out {fit.held_out_r2:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
