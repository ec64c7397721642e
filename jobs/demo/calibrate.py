"""`python -m jobs.demo.calibrate MODEL`: fit TeaCache's polynomial on a demo model and keep it beside the weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import teacache
from jobs.demo.models import HERE, RECIPES, load

PROMPTS = 24


def calibrate(model: str, folder: Path) -> teacache.Calibration:
    """Fit on captions of the training set, so that the held-out ones stay unseen by every part of the demo."""
    recipe = RECIPES[model]()
    scenes = recipe.dataset.training()
    picks = np.random.default_rng(24).permutation(len(scenes))[:PROMPTS]
    prompts = [scenes[index].caption for index in picks]
    pipe = load(model, folder)
    return teacache.calibrate(pipe, prompts, num_inference_steps=recipe.num_inference_steps, **recipe.call)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo.calibrate", description=__doc__)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("--folder", type=Path, default=None, help="the trained pipeline (default: the packaged one)")
    options = parser.parse_args(arguments)
    folder = options.folder or HERE / options.model
    calibration = calibrate(options.model, folder)
    print(f"wrote {calibration.save(folder)}")
    print(f"p(x), highest degree first: {', '.join(f'{value:.6g}' for value in calibration.coefficients)}")
    print(f"fitted on x from {calibration.fitted_range[0]:.4f} to {calibration.fitted_range[1]:.4f}, "
          f"{calibration.pairs} pairs, R2 {calibration.r2:.3f}, held out {calibration.held_out_r2:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
