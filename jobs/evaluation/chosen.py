"""Which prompts are run: a fair sample of the job's, in two parts, to choose a setting on and to confirm it on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from jobs.config.model import Model
from jobs.errors import Refused
from jobs.preflight import Checked
from jobs.prompts import reading
from jobs.prompts.plan import fill, samples, wanted
from jobs.rows import Sample

CHOOSE, CONFIRM = "choose", "confirm"


def chosen_samples(ready: Checked, model: Model, num_prompts: int) -> list[Sample]:
    """The rows whose ids have the smallest digests: the same ones every time, and as good as drawn by lot.

    Raises Refused if they can't be compared: another number of steps is another run.
    """
    found = sorted(_found(ready, model, num_prompts), key=lambda sample: sample.id)
    steps = sorted({sample.num_inference_steps for sample in found})
    if len(steps) > 1:
        raise Refused(f"model {model.name}: the prompts have several numbers of steps ({', '.join(map(str, steps))}); "
                      "an evaluation is for one")  # fmt: skip
    if len({sample.prompt for sample in found}) < 2:
        raise Refused(f"model {model.name}: an evaluation takes two different prompts or more: one part to choose on, "
                      "another to confirm it on")  # fmt: skip
    return found


def parts(found: Sequence[Sample]) -> dict[str, str]:
    """By id, the part of each row: every other prompt, in the order of a hash. Samples of one prompt stay together."""
    texts = sorted({str(sample.prompt) for sample in found}, key=lambda text: hashlib.sha256(text.encode()).digest())
    of_text = {text: CONFIRM if number % 2 else CHOOSE for number, text in enumerate(texts)}
    return {sample.id: of_text[str(sample.prompt)] for sample in found}


def _found(ready: Checked, model: Model, num_prompts: int) -> Iterator[Sample]:
    planner, picked = ready.planners[model.name], ready.scan.ids[:num_prompts]
    left = len(picked)
    for piece in reading.pieces(ready.scan.shards):
        for rows in reading.read_piece(planner.prompts, piece):
            asked = wanted(rows, picked)
            left -= asked.num_rows
            filled = fill(asked, planner.generation, planner.accepted, planner.seed)
            yield from (sample for sample in samples([filled]) if sample.prompt is not None)
            if not left:
                return
