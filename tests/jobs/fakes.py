"""A pipeline that makes noise for nothing, and does what prompts tell it: fail, hang, kill its process.

`python -m tests.jobs.fakes generate ...` is `python -m jobs generate ...` with that pipeline in the actors, on a Ray of
its own. What it was asked to make stands in the file $FAKES_LOG, a line per row.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.runs import Tags

TAGS = Tags(run="run", model="flux")

RUNTIME_ENV = {"worker_process_setup_hook": "tests.jobs.fakes.install"}
"""For `ray.init`: workers load the fake in place of any model."""


def install() -> None:
    """Have the actors of this worker process load the fake. Costs nothing where there is none."""
    from jobs.actor import Actor

    original = Actor.__init__

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        import jobs.loading

        jobs.loading.load = fake_load
        original(self, *arguments, **options)

    Actor.__init__ = init  # type: ignore[method-assign]


@dataclass
class Images:
    images: Any


class FakePipeline:
    """Called as a diffusers pipeline is. `fits`: rows of which more are out of memory."""

    def __init__(self, fits: int = 10**9) -> None:
        self.fits = fits
        self.sizes: list[int] = []

    def __call__(
        self, prompt: list[str], generator: list[Any], height: int, width: int, num_inference_steps: int, **_: Any
    ) -> Images:
        import torch

        if num_inference_steps == 2:  # the warm-up
            return Images(torch.zeros(len(prompt), 3, height, width))
        self.sizes.append(len(prompt))
        for text in prompt:
            log(text)
        if len(prompt) > self.fits:
            raise torch.OutOfMemoryError(f"{len(prompt)} rows do not fit")
        time.sleep(float(os.environ.get("FAKES_SECONDS", "0")))
        pictures = torch.stack([torch.rand(3, height, width, generator=each) for each in generator])
        for picture, text in zip(pictures, prompt, strict=True):
            _obey(text, picture)
        return Images(pictures)


def _obey(prompt: str, picture: Any) -> None:
    word, _, number = prompt.partition(" ")
    if word == "die":
        os._exit(1)
    if word == "hang":
        time.sleep(3600)
    if word == "sleep":
        time.sleep(float(number))
    if word == "raise":
        raise RuntimeError("told to")
    if word == "nan":
        picture[0, 0, 0] = float("nan")
    if word == "flat":
        picture[:] = 0.25


class FakeCache:
    """Does and counts nothing."""

    def discard(self) -> None: ...

    def take_stats(self) -> Any:
        import teacache

        return teacache.Stats()

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield


def fake_load(model: Any, device: str) -> tuple[Any, Any]:
    if "unloadable" in model.name:
        raise OSError("no weights")
    if "fatal" in model.name:
        os._exit(1)
    return FakePipeline(), FakeCache()


def log(line: str) -> None:
    """Short lines that are appended come whole, whoever else writes."""
    if path := os.environ.get("FAKES_LOG"):
        with Path(path).open("a") as file:
            file.write(f"{line}\n")


def main() -> None:
    import logging

    import ray

    from jobs.cli import app

    ray.init(
        address="local",
        num_cpus=int(os.environ.get("FAKES_CPUS", "2")),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env=RUNTIME_ENV,
    )
    app(sys.argv[1:], prog_name="python -m jobs")


if __name__ == "__main__":
    main()
