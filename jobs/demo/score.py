"""`python -m jobs.demo.score MODEL`: does the demo model show what captions say?

Generates held-out captions uncached, lets the checker judge them, and writes the figures into the model folder's
README.md, with contact sheets beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

import teacache
from jobs.demo import sheets
from jobs.demo.checker import Score, score
from jobs.demo.dataset import Captioned, Pixels
from jobs.demo.models import HERE, RECIPES, load
from jobs.demo.recipe import Recipe
from teacache.calibration import CALIBRATION_FILE

SAMPLES, BATCH = 256, 16


def generate(pipe: Any, recipe: Recipe, scenes: Sequence[Captioned], *, steps: int | None = None) -> list[Pixels]:
    """One picture or video per scene; sample number i has seed i."""
    samples: list[Pixels] = []
    for start in tqdm(range(0, len(scenes), BATCH), desc="generating"):
        chunk = scenes[start : start + BATCH]
        generators = [torch.Generator().manual_seed(start + offset) for offset in range(len(chunk))]
        outputs = pipe([scene.caption for scene in chunk], num_inference_steps=steps or recipe.num_inference_steps,
                       generator=generators, output_type="np", return_dict=False, **recipe.call)[0]  # fmt: skip
        samples += [np.rint(output * 255).astype(np.uint8) for output in outputs]
    return samples


def write_card(folder: Path, model: str, found: Score) -> None:
    """README.md, the model card: what it is, how it was trained and how long, how well it follows captions."""
    recipe = RECIPES[model]()
    training = json.loads((folder / "training.json").read_text())
    call = ", ".join(f"{name}={value!r}" for name, value in recipe.call.items())
    shares = {**found.right, "all": found.all}
    rows = "\n".join(f"| {name} | {share:.1%} |" for name, share in shares.items())
    kind = recipe.dataset.kind
    moving = "\n![The same, moving](samples.gif)\n" if kind == "videos" else ""
    (folder / "README.md").write_text(f"""# Demo {model}

A small diffusers pipeline that this project trained for itself, from nothing, on procedural captioned {kind}:
`python -m jobs.demo.train {model}`, {training["seconds"] / 60:.0f} minutes on {training["threads"]} CPU cores.
{training.get("note", "")}
The denoiser saw {recipe.steps} batches of {recipe.batch}, at a learning rate of {recipe.learning_rate:g}, from
{recipe.samples} {kind}; `jobs/demo/{model}.py` holds every other number.
Load it with `DiffusionPipeline.from_pretrained` and call it with `{call}`.

Share of {found.samples} samples of captions that no training has seen (uncached, {recipe.num_inference_steps} steps,
all else as the pipeline has it) in which the checker (`jobs/demo/checker.py`) sees what the caption says;
`python -m jobs.demo.score {model}` makes the table again:

| attribute | right |
|---|---|
{rows}
{_calibration_note(folder)}
![Captioned samples](samples.png)
{moving}""")


def _calibration_note(folder: Path) -> str:
    if not (folder / CALIBRATION_FILE).is_file():
        return ""
    fit = teacache.Calibration.load(folder).polynomial()
    return f"""
`teacache.json` holds the TeaCache polynomial and the schedules, measured on this model by
`python -m jobs.demo.calibrate {folder.name}` (degree {len(fit.coefficients) - 1}, R2 {fit.r2:.2f} on the prompts of
the fit, {fit.held_out_r2:.2f} on held-out ones: where the indicator says little about the output, the polynomial is
little more than its mean, and steps are skipped at even distances).
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo.score", description=__doc__)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("--folder", type=Path, default=None, help="the trained pipeline (default: the packaged one)")
    options = parser.parse_args(arguments)
    folder, recipe = options.folder or HERE / options.model, RECIPES[options.model]()
    scenes = recipe.dataset.held_out(SAMPLES, seed=256)
    samples = generate(load(options.model, folder), recipe, scenes)
    found = score(samples, scenes, recipe.judge, recipe.fields)
    write_card(folder, options.model, found)
    sheets.save(folder, samples[:16], [scene.caption for scene in scenes[:16]])
    print(found)


if __name__ == "__main__":
    main()
