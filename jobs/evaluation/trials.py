"""One setting tried on one batch, beside its uncached twin: the rows of an evaluation, and what makes them.

Each batch is run uncached once and then at every setting, by one actor. What a setting came to is written at once,
under a name that follows from all that it depends on: a killed run loses one setting of one batch per actor, and rows
of another model, prompt or version are never taken for this one's.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs import storage
from jobs.config import storage_options
from jobs.config.cache import Cache
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.config.storage_options import StorageOptions
from jobs.evaluation.likeness import likeness
from jobs.evaluation.settings import Setting
from jobs.output.manifest import write_rows
from jobs.rows import Made, Sample, Written, table, values

_WARM_UP_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Sample):
    """One sample at one setting. Times are shares of a pipeline call, as in the manifest; twins have `baseline_`."""

    model: str
    part: str
    """`choose` or `confirm`: what a setting may be chosen on, and what only confirms it."""
    method: str
    label: str
    cache: str
    """The cache settings as JSON, defaults included."""
    batch: str
    """The pipeline calls that this row shares its times with."""
    batch_size: int
    actor: str
    num_gpus: float
    num_cpus: float
    versions: str
    error: str
    seconds: float | None = None
    baseline_seconds: float | None = None
    denoise_seconds: float | None = None
    baseline_denoise_seconds: float | None = None
    computed: int | None = None
    """Steps whose blocks were computed, guidance branches counted each."""
    baseline_steps: int | None = None
    """The same of the twin, which computes every step."""
    psnr: float | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    lpips: float | None = None
    worst_psnr: float | None = None
    flicker: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What every actor of an evaluation is given."""

    model: Model
    """Its own cache is not used."""
    generation: Generation
    actors: Actors
    settings: Sequence[Setting]
    parts: Mapping[str, str]
    identity: Mapping[str, Any]
    """What else the pictures depend on."""
    folder: str
    storage_options: StorageOptions

    def place(self, setting: Setting, batch: Sequence[Sample]) -> str:
        """The file of a setting's rows of a batch: its name is a digest of all that they depend on."""
        told = {
            **self.identity,
            "cache": json.loads(setting.cache.to_json()),
            "num_inference_steps": setting.num_inference_steps,
            "samples": [asdict(sample) for sample in batch],
            "exact": self.actors.exact,
        }
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return storage.join(self.folder, f"{digest[:24]}.parquet")


class Evaluate:
    """Made by Ray on each device: takes a batch, and tells of each setting that it lacked as it is written."""

    def __init__(self, course: Course) -> None:
        from jobs.actors.generate import Generate

        storage_options.use(course.storage_options)
        self._course, self._uncached = course, Cache(method="none")
        model = course.model.model_copy(update={"cache": self._uncached})
        self._generate = Generate(model, course.generation, course.actors, 0.0)
        self._warm: set[tuple[object, ...]] = set()

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        batch, lacking = lacking_from(block)
        twins = self._made(batch, self._uncached)
        for number in lacking:
            setting = self._course.settings[number]
            steps = setting.num_inference_steps
            made = self._made([replace(sample, num_inference_steps=steps) for sample in batch], setting.cache)
            trials = [self._trial(*pair, setting, batch) for pair in zip(made, twins, strict=True)]
            write_rows(table(Trial, trials), self._course.place(setting, batch))
            yield table(Written, [_written(trials)])

    def _made(self, batch: Sequence[Sample], cache: Cache) -> list[Made]:
        with self._generate.cached_by(cache):
            shape = (*batch[0].call[:3], len(batch))
            if shape not in self._warm:
                # The first call of a shape is slow, which is no matter of caching.
                self._warm.add(shape)
                self._generate(table(Sample, [replace(each, num_inference_steps=_WARM_UP_STEPS) for each in batch]))
            return [Made(**row) for row in self._generate(table(Sample, batch)).to_pylist()]

    def _trial(self, made: Made, twin: Made, setting: Setting, batch: Sequence[Sample]) -> Trial:
        error = f"uncached: {twin.error}" if twin.error else made.error
        measured: dict[str, Any] = {}
        if not error:
            measured = {
                **asdict(likeness(_frames(made), _frames(twin))),
                "seconds": made.seconds,
                "baseline_seconds": twin.seconds,
                "denoise_seconds": made.denoise_seconds,
                "baseline_denoise_seconds": twin.denoise_seconds,
                "computed": made.computed,
                "baseline_steps": twin.steps,
            }
        shared = ("model", "cache", "batch_size", "actor", "num_gpus", "num_cpus", "versions")
        return Trial(
            **values(made, Sample),
            **{name: getattr(made, name) for name in shared},
            part=self._course.parts[made.id],
            method=setting.method,
            label=setting.label,
            batch=batch_name(batch),
            error=error,
            **measured,
        )


def batch_name(batch: Sequence[Sample]) -> str:
    return hashlib.sha256("\n".join(sample.id for sample in batch).encode()).hexdigest()[:16]


def lacking_to(batch: Sequence[Sample], settings: Sequence[int]) -> dict[str, Any]:
    """A batch and the numbers of the settings that it lacks, as a row for Ray."""
    return {"samples": json.dumps([asdict(sample) for sample in batch]), "settings": list(settings)}


def lacking_from(block: pa.Table) -> tuple[list[Sample], list[int]]:
    (row,) = block.to_pylist()
    return [Sample(**fields) for fields in json.loads(row["samples"])], row["settings"]


def read(url: str) -> list[Trial]:
    """The rows of a setting of a batch, none where it was not tried."""
    content = storage.read(url)
    return [] if content is None else [Trial(**row) for row in pq.read_table(io.BytesIO(content)).to_pylist()]


def _written(trials: Sequence[Trial]) -> Written:
    good = [trial for trial in trials if not trial.error]
    return Written(
        done=len(good),
        failed=len(trials) - len(good),
        steps=sum(trial.baseline_steps or 0 for trial in good),
        computed=sum(trial.computed or 0 for trial in good),
        delay=0.0,
    )


def _frames(made: Made) -> np.ndarray[Any, np.dtype[np.uint8]]:
    assert made.pixels is not None
    return np.frombuffer(made.pixels, dtype=np.uint8).reshape(made.num_frames or 1, made.height, made.width, 3)
