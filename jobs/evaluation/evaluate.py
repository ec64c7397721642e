"""An evaluation from a job to a recommendation; composes only."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import ray.data
from ray.util.annotations import RayDeprecationWarning
from rich.console import Console

from jobs import cluster, preflight, signals, storage
from jobs.actors.batches import form
from jobs.actors.loading import check_devices
from jobs.config.cache import Cache
from jobs.config.job import Actors, Job
from jobs.config.model import Model
from jobs.config.targets import Target
from jobs.errors import JobFailed, Refused, last_line, refusing
from jobs.evaluation.calibrated import applicable
from jobs.evaluation.chosen import chosen_samples, parts
from jobs.evaluation.likeness import LPIPS_PIXELS, MS_SSIM_PIXELS, has_lpips
from jobs.evaluation.settings import Setting
from jobs.evaluation.trials import Course, Evaluate, Trial, lacking_to, read
from jobs.output import identity
from jobs.paths import Output
from jobs.preflight import Checked
from jobs.progress import follow
from jobs.prompts.scan import check_duplicates
from jobs.rows import Sample, Written

NUM_PROMPTS = 24
TARGET = Target(psnr=35.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is to be run for one model."""

    course: Course
    target: Target
    batches: Sequence[Sequence[Sample]]
    notes: Sequence[str]
    """What a user should know before: methods left out, measures that can't be taken."""

    @property
    def num_rows(self) -> int:
        return len(self.course.settings) * sum(map(len, self.batches))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What was run for one model."""

    model: Model
    target: Target
    settings: Sequence[Setting]
    trials: Sequence[Trial]
    notes: Sequence[str]


def evaluate(job: Job, console: Console, target: Target | None = None, *, num_prompts: int = NUM_PROMPTS,
             only: Sequence[str] = ()) -> list[Tried]:  # fmt: skip
    """Try every setting of every method on prompts of the job, each beside its uncached twin; what was tried before
    is not tried again.

    Without a target each model's own `cache.target` holds, else TARGET. `only` names methods as `cache.method` does;
    empty means those of `cache.target`, or all.

    Raises Refused before any actor starts, JobFailed if a model can't be run, KeyboardInterrupt after a signal.
    """
    with signals.handled():
        ready = preflight.checked(_uncached(job))
        check_duplicates(ready.job.prompts, ready.scan)
        planned = [
            _plan(ready, model, target or model.cache.target or TARGET, num_prompts, only or _methods(model))
            for model in job.each_model
        ]
        for plan in planned:
            _note(plan, ready.job)
        with cluster.joined(job.log_format) as fixed:
            return [_tried(plan, console, fixed) for plan in planned]


def _uncached(job: Job) -> Job:
    """The job without its caches: what they need may be missing, and is then only left out."""
    none = [model.model_copy(update={"cache": Cache(method="none")}) for model in job.each_model]
    return job.model_copy(update={"models": tuple(none)} if job.models else {"model": none[0]})


def _methods(model: Model) -> Sequence[str]:
    """`cache: {target: ..., method: adaptive}` asks for one only."""
    asked = model.cache.target is not None and "method" in model.cache.model_fields_set
    return [model.cache.method] if asked else []


def _plan(ready: Checked, model: Model, target: Target, num_prompts: int, only: Sequence[str]) -> Planned:
    from jobs.actors.generate import versions

    job, output = ready.job, Output(url=ready.job.output)
    found = chosen_samples(ready, model, num_prompts)
    there = applicable(model, output, found[0].num_inference_steps, only)
    settings = identity.settings(_only(job, model)).items()
    depends = {name: value for name, value in settings if _matters(name) and not _untold(name, value)}
    course = Course(
        model=model,
        generation=job.generation,
        actors=job.actors_of(model),
        settings=there.settings,
        parts=parts(found),
        identity={**depends, "calibration": there.calibration, "versions": versions()},
        folder=output.evaluation(model.name, "trials"),
        storage_options=job.storage_options,
    )
    notes = [*there.notes, *_unmeasured(model, found, target)]
    return Planned(course=course, target=target, batches=list(form(found, course.actors.batch_size)), notes=notes)


def _only(job: Job, model: Model) -> Job:
    return job.model_copy(update={"model": model, "models": ()})


def _matters(setting: str) -> bool:
    """Of a job's settings those that pixels depend on: files are not written, and the cache is what is tried."""
    return not setting.startswith("media.") and not setting.endswith((".cache", ".calibration"))


def _untold(setting: str, value: Any) -> bool:
    """Whether it would say what files hold and does not: trials of before it was noted still count."""
    return value is None and identity.is_of_files(setting)


def _unmeasured(model: Model, found: Sequence[Sample], target: Target) -> list[str]:
    """Measures that can't be taken of these pictures, a line each. Raises Refused where the target is of one."""
    smallest = min(min(sample.height, sample.width) for sample in found)
    missing = {}
    if smallest < MS_SSIM_PIXELS:
        missing["ms_ssim"] = f"pictures are {smallest} pixels, it needs {MS_SSIM_PIXELS}"
    if not has_lpips():
        missing["lpips"] = "package lpips is not installed"
    elif smallest < LPIPS_PIXELS:
        missing["lpips"] = f"pictures are {smallest} pixels, it needs {LPIPS_PIXELS}"
    for name in target.limits:
        if name in missing:
            raise Refused(f"model {model.name}: target {name} can't be measured: {missing[name]}")
    return [f"{name}: not measured: {why}" for name, why in missing.items()]


def _note(plan: Planned, job: Job) -> None:
    """Write down what is to be tried, which also shows that the output can be written. Raises Refused."""
    course = plan.course
    content = {
        "identity": course.identity,
        "settings": [{"method": each.method, "label": each.label, "cache": json.loads(each.cache.to_json()),
                      "num_inference_steps": each.num_inference_steps} for each in course.settings],
        "prompts": course.parts,
        "notes": plan.notes,
    }  # fmt: skip
    with refusing(f"output: can't write {job.output}"):
        place = Output(url=job.output).evaluation(course.model.name, "settings.json")
        storage.write(place, json.dumps(content, indent=1).encode())


def _tried(plan: Planned, console: Console, fixed: bool) -> Tried:
    course, batches = plan.course, plan.batches
    actors = cluster.fit(course.actors, fixed=fixed)
    check_devices(course.model, actors)
    course = replace(course, actors=actors)
    methods = len({setting.method for setting in course.settings})
    _say(console, f"{course.model.name}: {sum(map(len, batches))} prompts, {len(course.settings)} settings of "
                  f"{methods} methods, each beside its uncached twin")  # fmt: skip
    for note in plan.notes:
        _say(console, note)
    lacking = [(batch, _lacking(course, batch)) for batch in batches]
    rows = sum(len(batch) * len(numbers) for batch, numbers in lacking)
    if rows < plan.num_rows:
        _say(console, f"{course.model.name}: {plan.num_rows - rows:,} of {plan.num_rows:,} rows were tried before")
    if rows:
        with closing(_run(course, [each for each in lacking if each[1]])) as written:  # Ray Data ends before Ray does
            follow(written, course.model.name, rows, console)
    trials = [trial for batch in batches for setting in course.settings for trial in read(course.place(setting, batch))]
    return Tried(model=course.model, target=plan.target, settings=course.settings, trials=trials, notes=plan.notes)


def _lacking(course: Course, batch: Sequence[Sample]) -> list[int]:
    """The numbers of the settings that were not tried on the batch, or not without a failure."""
    found = (read(course.place(setting, batch)) for setting in course.settings)
    return [number for number, trials in enumerate(found) if not trials or any(trial.error for trial in trials)]


def _run(course: Course, lacking: Sequence[tuple[Sequence[Sample], Sequence[int]]]) -> Generator[Written, None, None]:
    actors: Actors = course.actors
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what ends it is told in one line
    context.target_max_block_size = 1
    context.max_errored_blocks = 0  # a batch that is lost ends it: the figures are of all or of none
    rows: list[dict[str, Any]] = [lacking_to(*each) for each in lacking]
    with warnings.catch_warnings():
        # As in jobs/pipeline.py: a prompt that kills its actor is not to be tried for ever.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        written = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Evaluate,
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(actors.count, len(rows))),
            num_cpus=actors.num_cpus,
            num_gpus=actors.num_gpus,
            fn_constructor_kwargs={"course": course},
            max_task_retries=0,
            max_restarts=-1,
        )
    try:
        for block in written.iter_batches(batch_size=None, batch_format="pyarrow"):
            assert isinstance(block, pa.Table)
            yield from (Written(**counts) for counts in block.to_pylist())
    except Exception as error:
        raise JobFailed(f"model {course.model.name}: {last_line(error)}") from None


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, soft_wrap=True, highlight=False)
