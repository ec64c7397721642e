"""`python -m tests.benchmarks.peers --model flux --steps 28`: teacache's methods and everybody else's, side by side.

Every setting of every method runs on the same captions, which no fit has seen, and seeds; each leaves a JSON file in
the output folder, so that a comparison that was stopped goes on where it was. `--report` makes the table and the plot
of everything in the folder. Needs `pip install -e .[benchmarks]`.
"""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import torch

from jobs.demo.calibrate import calibrate
from jobs.demo.models import HERE, RECIPES, load
from jobs.demo.recipe import Recipe
from teacache.calibration import CALIBRATION_FILE
from tests.benchmarks.peers import dbcache, native, ours, plot, table
from tests.benchmarks.peers.measure import BATCH, Reference, generate, measure
from tests.benchmarks.peers.setting import Setting


def all_settings(steps: int, recipe: Recipe, fresh: Any, calibration: str) -> list[Setting]:
    """MagCache is calibrated on captions of the training set, as teacache is."""
    captions = [scene.caption for scene in recipe.dataset.training()[:BATCH]]
    return [
        *ours.settings(steps, calibration),
        *ours.fewer_steps(steps),
        *ours.published(steps, calibration),
        *native.first_block(steps),
        *native.mag(steps, lambda pipe: generate(pipe, recipe, captions, steps), fresh),
        *native.taylor_seer(steps),
        *native.sea(steps),
        *native.faster(steps),
        *native.pyramid(steps),
        *dbcache.settings(steps),
    ]


def calibrated(model: str, folder: Path | None, steps: int, output: Path) -> str:
    """On captions of the training set, for this number of steps; made once."""
    file = output / "calibration" / CALIBRATION_FILE
    if not file.exists():
        file.parent.mkdir(parents=True)
        calibrate(model, folder or HERE / model, steps).save(file)
    return str(file)


def compare(model: str, folder: Path | None, steps: int, prompts: int, output: Path, only: str) -> None:
    recipe, fresh = RECIPES[model](), partial(load, model, folder)
    captions = [scene.caption for scene in recipe.dataset.held_out(prompts, seed=6)]
    reference: Reference | None = None
    for setting in all_settings(steps, recipe, fresh, calibrated(model, folder, steps, output)):
        file = output / f"{re.sub(r'[^A-Za-z0-9.]+', '-', f'{setting.method} {setting.turned}')}.json"
        if file.exists() or only not in setting.method:
            continue
        if reference is None:
            reference = Reference(steps, generate(fresh(), recipe, captions, steps))
        row = measure(setting, fresh(), recipe, captions, reference)
        file.write_text(json.dumps({"model": model, "steps": steps, "prompts": prompts, **row}) + "\n")
        print(row["method"], row["turned"],
              row.get("error") or f"{row['compute']:.2f}x {row['psnr']:.1f} dB", flush=True)  # fmt: skip


def report(output: Path) -> None:
    comparisons: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(output.glob("*/*.json")):
        row = json.loads(file.read_text())
        comparisons.setdefault(f"{row['model']}, {row['steps']} steps", []).append(row)
    for title, rows in comparisons.items():
        print(f"\n### {title}\n\n{table.table(rows)}")
    plot.plot(comparisons, output / "peers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(RECIPES))
    parser.add_argument("--folder", type=Path, help="the trained pipeline (default: the packaged one)")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", default="", help="only methods whose names hold this")
    parser.add_argument("--report", action="store_true", help="table and plot of what is in the output folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.model:
        compare(options.model, options.folder, options.steps, options.prompts,
                options.output / f"{options.model}-{options.steps}", options.only)  # fmt: skip
    if options.report:
        report(options.output)


if __name__ == "__main__":
    main()
