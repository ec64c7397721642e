"""`calibrate`: record uncached runs over the actors, fit, measure schedules, and keep each model's calibration."""

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

from jobs import cluster, preflight, storage
from jobs.config.cache import Cache
from jobs.config.job import Job
from jobs.config.model import Model
from jobs.errors import Failure, JobFailed, Refused, attempt, last_line
from jobs.paths import Output
from jobs.pipeline import Planner
from jobs.preflight import Checked
from jobs.prompts import reading
from jobs.prompts.plan import fill, samples
from jobs.rows import Sample
from teacache.calibration import Calibration, Conditions
from teacache.quadrature import Outputs
from teacache.recording import Recording
from teacache.scheduling import Schedule

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
    measured = _measure(ready, model, chosen[: ready.job.actors.batch_size], recordings, conditions, console)
    calibration = replace(fitted, measured=measured)
    url = Output(url=ready.job.output).calibration(model.name)
    storage.write(url, (json.dumps(asdict(calibration), indent=1) + "\n").encode())
    return Calibrated(model=model.name, calibration=calibration, url=url)


def _fit(recordings: Sequence[Recording], conditions: Conditions) -> Calibration:
    from teacache.calibrate import fit

    return fit(recordings, conditions)


def _samples(ready: Checked, planner: Planner) -> Iterator[Sample]:
    for piece in reading.pieces(ready.scan.shards):
        tables = reading.read_piece(planner.prompts, piece)
        yield from samples(fill(rows, planner.generation, planner.accepted, planner.seed) for rows in tables)


def _record(
    ready: Checked, model: Model, chosen: Sequence[Sample], console: Console
) -> tuple[list[Recording], Conditions]:
    work = [{"number": number, "sample": json.dumps(asdict(sample))} for number, sample in enumerate(chosen)]
    recordings: list[Recording] = []
    conditions: Conditions | None = None
    for count, row in enumerate(_mapped(ready, model, Record, work, prompts=[sample.prompt for sample in chosen]), 1):
        recordings += [Recording.from_dict(one) for one in json.loads(row["recordings"])]
        conditions = Conditions.from_dict(json.loads(row["conditions"]))
        console.print(f"{model.name}: {count} of {len(work)} prompts", markup=False)
    assert conditions is not None
    return sorted(recordings, key=lambda one: one.prompt), conditions


def _measure(ready: Checked, model: Model, chosen: Sequence[Sample], recordings: Sequence[Recording],
             conditions: Conditions, console: Console) -> dict[str, tuple[Schedule, ...]]:  # fmt: skip
    """Schedules with weights, the numbers of computed steps shared out over the actors; none where none can be."""
    from teacache.quadrature import outputs_of
    from teacache.rollouts import default_counts

    outputs, counts = outputs_of(recordings), default_counts(conditions.num_inference_steps)
    if outputs is None or not counts or len(conditions.denoisers) > 1:
        console.print(f"{model.name}: no schedules are measured: its scheduler is not linear, its sound goes by "
                      "another one, or it has several denoisers; those for lines are there", markup=False)  # fmt: skip
        return {}
    shares = min(ready.job.actors.count, len(counts))
    work = [{"counts": json.dumps(counts[share::shares])} for share in range(shares)]
    console.print(f"{model.name}: schedules of {len(counts)} numbers of computed steps, on {len(chosen)} prompts at "
                  "once (actors.batch_size)", markup=False)  # fmt: skip
    rows = _mapped(ready, model, Measure, work, samples=list(chosen), outputs=outputs)
    found = [Schedule.from_dict(one) for row in rows for one in json.loads(row["schedules"])]
    return {name: tuple(sorted(found, key=lambda one: one.computed)) for name in conditions.denoisers}


def _mapped(
    ready: Checked, model: Model, actor: type, work: Sequence[dict[str, Any]], **arguments: Any
) -> Iterator[dict[str, Any]]:
    """Rows of work done by actors that hold the uncached pipeline, in the order in which they come."""
    actors = ready.job.actors
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what ends it is told in one line
    context.target_max_block_size = 1
    done = ray.data.from_items(list(work), override_num_blocks=len(work)).map_batches(
        actor,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(actors.count, len(work))),
        num_cpus=actors.num_cpus,
        num_gpus=actors.num_gpus,
        fn_constructor_kwargs={
            "model": model,
            "extra": ready.job.generation.extra,
            "device": "cuda" if actors.num_gpus else "cpu",
            **arguments,
        },
    )
    try:
        yield from done.iter_rows()
    except Exception as error:
        raise JobFailed(f"model {model.name}: {last_line(error)}") from None


def _call(extra: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """The pipeline's arguments, but for prompt and seed."""
    return {**extra, **sample.arguments}


class Record:
    """Made by Ray on each device: runs prompts uncached, one at a time, and keeps numbers."""

    def __init__(self, model: Model, extra: dict[str, Any], device: str, prompts: list[str]) -> None:
        from jobs.actors.loading import load_uncached

        self._pipeline = load_uncached(model, device)
        self._extra, self._prompts = extra, prompts

    def __call__(self, batch: Batch) -> Batch:
        from teacache.calibrate import conditions_of, record

        sample = Sample(**json.loads(str(batch["sample"][0])))
        call = _call(self._extra, sample)
        number = int(batch["number"][0])
        recordings = record(self._pipeline, sample.prompt or "", number=number, seed=sample.seed, **call)
        conditions = conditions_of(self._pipeline, self._prompts, **call)
        return {
            "recordings": np.array([json.dumps([asdict(recording) for recording in recordings])]),
            "conditions": np.array([json.dumps(asdict(conditions))]),
        }


class Measure:
    """Made by Ray on each device: runs prompts together, uncached and then under schedules, and fits their weights."""

    def __init__(
        self, model: Model, extra: dict[str, Any], device: str, samples: list[Sample], outputs: Outputs
    ) -> None:
        from jobs.actors.loading import load_uncached

        self._pipeline = load_uncached(model, device)
        self._extra, self._samples, self._outputs = extra, samples, outputs

    def __call__(self, batch: Batch) -> Batch:
        from teacache.rollouts import measure

        prompts, seeds = [sample.prompt or "" for sample in self._samples], [sample.seed for sample in self._samples]
        found = measure(self._pipeline, prompts, self._outputs, json.loads(str(batch["counts"][0])), seeds=seeds,
                        **_call(self._extra, self._samples[0]))  # fmt: skip
        return {"schedules": np.array([json.dumps([asdict(schedule) for schedule in found])])}
