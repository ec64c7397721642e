"""`python -m jobs.demo.score flux`: does the demo model draw what captions say?

Generates held-out captions uncached, lets the checker judge them, and writes the figures into the model folder's
README.md, with a contact sheet beside it.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image, ImageDraw
from tqdm.auto import tqdm

import teacache
from jobs.demo.checker import Score, score
from jobs.demo.scenes import SIDE, Pictures, Scene, held_out_scenes
from jobs.demo.text import T5_TOKENS

HERE = Path(__file__).parent
SAMPLES, STEPS, BATCH = 256, 28, 16
CALL: dict[str, Any] = {"height": SIDE, "width": SIDE, "max_sequence_length": T5_TOKENS}


def folder_of(model: str) -> Path:
    """The packaged model of that name, or the pipeline folder of that path."""
    return HERE / model if (HERE / model).is_dir() else Path(model)


def generate(pipe: DiffusionPipeline, scenes: list[Scene], *, steps: int = STEPS) -> list[Pictures]:
    """One picture per scene, uncached; sample number i has seed i."""
    pictures: list[Pictures] = []
    for start in tqdm(range(0, len(scenes), BATCH), desc="generating"):
        chunk = scenes[start : start + BATCH]
        generators = [torch.Generator().manual_seed(start + offset) for offset in range(len(chunk))]
        images = pipe([scene.caption for scene in chunk], num_inference_steps=steps, generator=generators,
                      output_type="np", **CALL).images  # fmt: skip
        pictures += [np.rint(image * 255).astype(np.uint8) for image in images]
    return pictures


def contact_sheet(pictures: list[Pictures], captions: list[str], *, columns: int = 4, zoom: int = 3) -> Image.Image:
    """Pictures in a grid, each with its caption below."""
    side, text = SIDE * zoom, 34
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + 8) + 8, rows * (side + text + 8) + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = 8 + index % columns * (side + 8), 8 + index // columns * (side + text + 8)
        sheet.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST), (x, y))
        draw.multiline_text((x, y + side + 3), textwrap.fill(caption, 32), fill="black", spacing=2)
    return sheet


def write_readme(folder: Path, found: Score) -> None:
    """The model card: what it is, how long it was trained, how well it follows captions."""
    training = json.loads((folder / "training.json").read_text())
    calibration = teacache.Calibration.load(folder)
    degree = len(calibration.coefficients) - 1
    minutes, threads = training["seconds"] / 60, training["threads"]
    shares = "\n".join(
        f"| {name} | {getattr(found, name):.1%} |" for name in ("background", "color", "place", "shape", "size", "all")
    )
    (folder / "README.md").write_text(f"""# Demo {folder.name}

A small diffusers pipeline that this project trained for itself, from nothing, on procedural captioned pictures
(`jobs/demo/scenes.py`): `python -m jobs.demo.train {folder.name}`, {minutes:.0f} minutes on {threads} CPU cores.
Load it with `DiffusionPipeline.from_pretrained` and call it with
`height={SIDE}, width={SIDE}, max_sequence_length={T5_TOKENS}`.

Share of {found.samples} samples of captions that no training has seen (uncached, {STEPS} steps) in which the checker
(`jobs/demo/checker.py`) sees what the caption says; `python -m jobs.demo.score {folder.name}` makes the table again:

| attribute | right |
|---|---|
{shares}

`teacache.json` holds the TeaCache polynomial, fitted on this model by `teacache.calibrate` (degree {degree}, R2
{calibration.r2:.2f} on the prompts of the fit, {calibration.held_out_r2:.2f} on held-out ones: where the indicator
says little about the output, the polynomial is little more than its mean, and steps are skipped at even distances).
{training.get("note", "")}

![16 samples](samples.png)
""")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo.score", description=__doc__)
    parser.add_argument("model", help="name of a packaged demo model, or a pipeline folder")
    options = parser.parse_args(arguments)
    folder = folder_of(options.model)
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    scenes = held_out_scenes(SAMPLES, seed=256)
    pictures = generate(pipe, scenes)
    found = score(pictures, scenes)
    write_readme(folder, found)
    contact_sheet(pictures[:16], [scene.caption for scene in scenes[:16]]).save(folder / "samples.png", optimize=True)
    print(found)


if __name__ == "__main__":
    main()
