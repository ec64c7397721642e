"""`python -m jobs.demo.train MODEL`: train a demo model from nothing, write its pipeline folder and score it.

Ctrl-C stops it; the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from jobs.demo import score
from jobs.demo.models import HERE, RECIPES
from jobs.demo.recipe import train
from jobs.demo.training import Stopped


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo.train", description=__doc__)
    parser.add_argument("model", choices=sorted(RECIPES), help="which demo model to train")
    parser.add_argument("--state", type=Path, default=None, help="where checkpoints go (default: outputs/train-MODEL)")
    parser.add_argument("--output", type=Path, default=None, help="folder to write (default: the packaged one)")
    options = parser.parse_args(arguments)
    state = options.state or Path("outputs") / f"train-{options.model}"
    output = options.output or HERE / options.model
    state.mkdir(parents=True, exist_ok=True)
    try:
        pipe, seconds = train(RECIPES[options.model](), state)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 130
    pipe.to(torch.bfloat16).save_pretrained(output, safe_serialization=True)
    (output / "training.json").write_text(json.dumps({"seconds": round(seconds), "threads": torch.get_num_threads()}))
    print(f"wrote {output}")
    score.main([options.model, "--folder", str(output)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
