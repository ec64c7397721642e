"""Pipelines that make noise for nothing, and do what prompts tell them: fail, hang, kill their process.

`FakePipeline` stands in for a diffusers pipeline. `FakeGenerate` stands in for all that imports torch: actors with it
start at once, take little memory, and spend $FAKES_SECONDS on a batch; every write takes $FAKES_WRITE_SECONDS more.

`python -m tests.jobs.fakes generate ...` is `python -m jobs generate ...` with FakeGenerate in the actors, on the Ray
of $RAY_ADDRESS or one of its own with $FAKES_CPUS. What was begun stands in the file $FAKES_LOG, and what was made in
$FAKES_LOG.made, a line per row. Other commands are theirs without torch.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from jobs.config.job import Actors
from jobs.config.model import Model
from jobs.errors import DeviceLost, JobFailed
from jobs.rows import Made, Sample, table, values
from jobs.runs import Tags

TAGS = Tags(run="run", model="flux")

RUNTIME_ENV = {"worker_process_setup_hook": "tests.jobs.fakes.install"}
"""For `ray.init`: the actors hold FakeGenerate."""

ALL = "FAKES_ALL"
"""Set in the environment: `install` has fakes for all that would import torch, not for the actor only."""


def install() -> None:
    """Have this process take fakes; in a worker of pytest's, for the actor only."""
    _replace("jobs.actors.generate", Generate=FakeGenerate)
    if seconds := float(os.environ.get("FAKES_WRITE_SECONDS", "0")):
        _slow_down(seconds)
    if ALL not in os.environ:
        return
    _replace("jobs.actors.models", check=lambda *_: FakeCall())
    _replace("jobs.actors.loading", check_devices=lambda *_, **__: None)
    _replace("teacache", TeaCacheConfig=Uncached, AdaptiveConfig=Uncached, ScheduleConfig=Uncached, Uncached=Uncached)


def _slow_down(seconds: float) -> None:
    """Have every file that a worker writes take so long, as in a bucket far away."""
    from jobs import storage

    write = storage.write

    def slowly(url: str, content: bytes) -> None:
        time.sleep(seconds)
        write(url, content)

    storage.write = slowly


def _replace(name: str, **contents: Any) -> None:
    module = ModuleType(name)
    if name == "teacache":
        module.__file__ = str(Path(__file__).parents[2] / "teacache" / "__init__.py")
    vars(module).update(contents)
    sys.modules[name] = module


@dataclass(frozen=True)
class Uncached:
    """The config of no cache at all."""


@dataclass(frozen=True)
class FakeCall:
    """What the fake's call takes."""

    accepted: frozenset[str] = frozenset({"prompt", "height", "width", "num_inference_steps"})
    makes_videos: bool = False


class FakeGenerate:
    """Takes samples and gives rows as `jobs.actors.generate.Generate` does."""

    def __init__(self, model: Model, generation: object, actors: Actors, *_: object) -> None:
        if "unloadable" in model.name:
            raise JobFailed("can't be loaded: OSError: no weights")
        if "fatal" in model.name:
            os._exit(1)
        self._model, self._actors = model, actors
        self._seconds = float(os.environ.get("FAKES_SECONDS", "0"))

    def __call__(self, batch: pa.Table) -> pa.Table:
        start = time.perf_counter()
        samples = [Sample(**row) for row in batch.to_pylist()]
        log(*(sample.prompt or "" for sample in samples))
        for sample in samples:
            _obey(sample.prompt or "")
        if self._seconds:
            time.sleep(self._seconds)
        seconds = (time.perf_counter() - start) / len(samples)
        log(*(sample.prompt or "" for sample in samples), suffix=".made")
        return table(Made, [self._made(sample, len(samples), seconds) for sample in samples])

    def _made(self, sample: Sample, batch_size: int, seconds: float) -> Made:
        size = sample.height * sample.width * 3
        return Made(
            **values(sample, Sample),
            model=self._model.name,
            cache="{}",
            batch_size=batch_size,
            batch=sample.id,
            actor=str(os.getpid()),
            num_gpus=0.0,
            num_cpus=self._actors.num_cpus,
            versions="{}",
            created_at=datetime.now(timezone.utc),
            seconds=seconds,
            steps=sample.num_inference_steps,
            computed=sample.num_inference_steps,
            # The same row is the same picture. Little work to make, and to encode.
            pixels=np.random.default_rng(sample.seed).bytes(16) * (size // 16) + bytes(size % 16),
        )


@dataclass
class Images:
    images: Any


class FakePipeline:
    """Called as a diffusers pipeline is. `fits`: rows of which more are out of memory, which raises `error`."""

    def __init__(self, fits: int = 10**9, error: Exception | None = None) -> None:
        self.fits, self.error = fits, error
        self.sizes: list[int] = []

    def __call__(
        self, prompt: list[str], generator: list[Any], height: int, width: int, num_inference_steps: int, **_: Any
    ) -> Images:
        import torch

        if num_inference_steps == 2:  # the warm-up
            return Images(torch.zeros(len(prompt), 3, height, width))
        self.sizes.append(len(prompt))
        if len(prompt) > self.fits:
            raise self.error or MemoryError()
        pictures = torch.stack([torch.rand(3, height, width, generator=each) for each in generator])
        for picture, text in zip(pictures, prompt, strict=True):
            _obey(text)
            if text == "raise":
                raise RuntimeError("told to")
            if text in ("nan", "flat"):
                picture[:] = {"nan": float("nan"), "flat": 0.25}[text]
        return Images(pictures)


def _obey(prompt: str) -> None:
    word, _, number = prompt.partition(" ")
    if word == "die":
        os._exit(1)
    if word == "hang":
        time.sleep(3600)
    if word == "sleep":
        time.sleep(float(number))
    if word == "lose":
        raise DeviceLost("RuntimeError: CUDA error: device-side assert triggered")


class FakeCache:
    """Does and counts nothing."""

    def discard(self) -> None: ...

    def take_stats(self) -> Any:
        import teacache

        return teacache.Stats()

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield


def fake_load(model: Model, device: str) -> tuple[FakePipeline, FakeCache]:
    if "unloadable" in model.name:
        raise OSError("no weights")
    return FakePipeline(), FakeCache()


def log(*lines: str, suffix: str = "") -> None:
    """Short lines that are appended at once come whole, whoever else writes."""
    if path := os.environ.get("FAKES_LOG"):
        with Path(path + suffix).open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))


COMMAND = f"""#!/bin/sh
# `python` for whoever runs `python -m jobs`: with fakes, but for a job of which the first line says that it is real.
if [ "$1 $2" = "-m jobs" ] && ! head -n 1 job.yaml 2> /dev/null | grep -q real; then
  shift 2
  exec {sys.executable} -m tests.jobs.fakes "$@"
fi
exec {sys.executable} "$@"
"""


def _prepare_ray() -> None:
    """One of its own, or what is sent to the cluster that the job joins, in the way of `ray job submit`."""
    import ray

    if os.environ.get("RAY_ADDRESS", "local") == "local":
        cpus = int(os.environ.get("FAKES_CPUS", "2"))
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "runtime_env": RUNTIME_ENV}
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **options)
        return
    sent = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))
    variables = sent.setdefault("runtime_env", {}).setdefault("env_vars", {})
    variables[WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = RUNTIME_ENV["worker_process_setup_hook"]
    os.environ[RAY_JOB_CONFIG_JSON_ENV_VAR] = json.dumps(sent)


def main() -> None:
    os.environ[ALL] = "1"
    install()
    from jobs.cli import app

    if sys.argv[1] == "generate":
        _prepare_ray()
    app(sys.argv[1:], prog_name="python -m jobs")


if __name__ == "__main__":
    main()
