"""`calibrate`: record uncached runs over the actors, fit, and keep each model's calibration."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import ray.data
from rich.console import Console

from jobs import cluster, preflight, prompts, storage
from jobs.config import Cache, Job, Model
from jobs.errors import Failure, JobFailed, Refused, attempt, last_line
from jobs.paths import Output
from jobs.pipeline import Planner
from jobs.plan import fill, samples
from jobs.preflight import Checked
from jobs.rows import Sample
from teacache.calibration import Calibration, Conditions
from teacache.recording import Recording

Batch = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """One model's calibration and where it was written."""

    model: str
    calibration: Calibration
    url: str


def calibrate(job: Job, console: Console, *, num_prompts: int) -> list[Calibrated]:
    """Calibrate every model of a job on its first prompts, with the job's own settings.

    Raises Refused before any actor starts, JobFailed if a prompt can't be run.
    """
    ready = preflight.checked(_uncached(job))
    with cluster.joined(job.log_format) as fixed:
        actors = cluster.fit(ready.job.actors, fixed=fixed)
        settled = ready.job.model_copy(update={"actors": actors})
        return [_calibrate(replace(ready, job=settled), model, console, num_prompts) for model in job.each_model]


def _uncached(job: Job) -> Job:
    """The job without its caches: what they need may be what is to be measured."""
    none = [model.model_copy(update={"cache": Cache(method="none")}) for model in job.each_model]
    return job.model_copy(update={"models": tuple(none)} if job.models else {"model": none[0]})


def _calibrate(ready: Checked, model: Model, console: Console, num_prompts: int) -> Calibrated:
    chosen = list(islice(_samples(ready, ready.planners[model.name]), num_prompts))
    if len({sample.call for sample in chosen}) > 1:
        raise Refused(f"model {model.name}: the first {len(chosen)} prompts are of several sizes, steps or guidances; "
                      "a calibration is for one")  # fmt: skip
    console.print(f"{model.name}: {len(chosen)} prompts, {chosen[0].num_inference_steps} steps, uncached", markup=False)
    recordings, conditions = _record(ready, model, chosen, console)
    fitted = attempt(lambda: _fit(recordings, conditions))
    if isinstance(fitted, Failure):
        raise JobFailed(f"model {model.name}: {fitted.error}")
    url = Output(url=ready.job.output).calibration(model.name)
    storage.write(url, (json.dumps(asdict(fitted), indent=1) + "\n").encode())
    return Calibrated(model=model.name, calibration=fitted, url=url)


def _fit(recordings: Sequence[Recording], conditions: Conditions) -> Calibration:
    from teacache.calibrate import fit

    return fit(recordings, conditions)


def _samples(ready: Checked, planner: Planner) -> Iterator[Sample]:
    for piece in prompts.pieces(ready.scan.shards):
        tables = prompts.read_piece(planner.prompts, piece)
        yield from samples(fill(rows, planner.generation, planner.accepted, planner.seed) for rows in tables)


def _record(
    ready: Checked, model: Model, chosen: Sequence[Sample], console: Console
) -> tuple[list[Recording], Conditions]:
    actors = ready.job.actors
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what ends it is told in one line
    context.target_max_block_size = 1
    rows = [{"number": number, "sample": json.dumps(asdict(sample))} for number, sample in enumerate(chosen)]
    recorded = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Record,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(actors.count, len(rows))),
        num_cpus=actors.num_cpus,
        num_gpus=actors.num_gpus,
        fn_constructor_kwargs={
            "model": model,
            "extra": ready.job.generation.extra,
            "device": "cuda" if actors.num_gpus else "cpu",
            "prompts": [sample.prompt for sample in chosen],
        },
    )
    recordings: list[Recording] = []
    conditions: Conditions | None = None
    try:
        for count, row in enumerate(recorded.iter_rows(), 1):
            recordings += [Recording.from_dict(one) for one in json.loads(row["recordings"])]
            conditions = Conditions.from_dict(json.loads(row["conditions"]))
            console.print(f"{model.name}: {count} of {len(rows)} prompts", markup=False)
    except Exception as error:
        raise JobFailed(f"model {model.name}: {last_line(error)}") from None
    assert conditions is not None
    return sorted(recordings, key=lambda one: one.prompt), conditions


class Record:
    """Made by Ray on each device: runs prompts uncached, one at a time, and keeps numbers."""

    def __init__(self, model: Model, extra: dict[str, Any], device: str, prompts: list[str]) -> None:
        from jobs.loading import load_uncached

        self._pipeline = load_uncached(model, device)
        self._extra, self._prompts = extra, prompts

    def __call__(self, batch: Batch) -> Batch:
        from teacache.calibrate import conditions_of, record

        sample = Sample(**json.loads(str(batch["sample"][0])))
        call = {**self._extra, **sample.arguments}
        steps = call.pop("num_inference_steps")
        number = int(batch["number"][0])
        recordings = record(self._pipeline, sample.prompt or "", number=number, num_inference_steps=steps,
                            seed=sample.seed, **call)  # fmt: skip
        conditions = conditions_of(self._pipeline, self._prompts, num_inference_steps=steps, **call)
        return {
            "recordings": np.array([json.dumps([asdict(recording) for recording in recordings])]),
            "conditions": np.array([json.dumps(asdict(conditions))]),
        }
