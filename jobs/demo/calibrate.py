"""`python -m jobs.demo.calibrate flux`: fit TeaCache's polynomial on a demo model and keep it beside the weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

import teacache
from jobs.demo.scenes import training_scenes
from jobs.demo.score import CALL, STEPS, folder_of

PROMPTS = 24


def calibrate(folder: Path) -> teacache.Calibration:
    """Fit on captions of the training set, so that the held-out ones stay unseen by every part of the demo."""
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    scenes = training_scenes()
    picks = np.random.default_rng(24).permutation(len(scenes))[:PROMPTS]
    prompts = [scenes[index].caption for index in picks]
    return teacache.calibrate(pipe, prompts, num_inference_steps=STEPS, **CALL)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo.calibrate", description=__doc__)
    parser.add_argument("model", help="name of a packaged demo model, or a pipeline folder")
    folder = folder_of(parser.parse_args(arguments).model)
    calibration = calibrate(folder)
    print(f"wrote {calibration.save(folder)}")
    print(f"p(x), highest degree first: {', '.join(f'{value:.6g}' for value in calibration.coefficients)}")
    print(f"fitted on x from {calibration.fitted_range[0]:.4f} to {calibration.fitted_range[1]:.4f}, "
          f"{calibration.pairs} pairs, R2 {calibration.r2:.3f}, held out {calibration.held_out_r2:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
