"""`python -m tests.benchmarks.throughput`: what does the job cost over a plain loop, in time and in memory?

Runs `python -m jobs generate` as a user does, and a plain Python loop over the same pipeline, cache, prompts and
batches that writes the same PNG files. Rates are pictures per second between the first batch's end and the last one's,
so that start-up and warm-up are apart on both sides.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import torch

import teacache
from jobs.demo.models import RECIPES, load

MEGABYTE = 1024 * 1024


@dataclass
class Peaks:
    """The largest resident memory seen of the driver and of any actor, in bytes."""

    driver: int = 0
    actor: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def watch(self, driver: int) -> None:
        while not self.stop.wait(0.25):
            for process in psutil.process_iter(["pid", "cmdline", "memory_info"]):
                memory = process.info["memory_info"]
                if memory is None:
                    continue
                if process.info["pid"] == driver:
                    self.driver = max(self.driver, memory.rss)
                elif "MapBatches(Actor)" in " ".join(process.info["cmdline"] or []):
                    self.actor = max(self.actor, memory.rss)


def loop_rate(folder: Path, prompts: list[str], batch_size: int) -> float:
    """Pictures per second of the plain loop."""
    torch.set_num_threads(1)
    pipe, recipe = load("flux"), RECIPES["flux"]()
    ends = []
    with teacache.enabled(pipe):
        for start in range(0, len(prompts), batch_size):
            chunk = prompts[start : start + batch_size]
            generators = [torch.Generator().manual_seed(start + offset) for offset in range(len(chunk))]
            images = pipe(
                chunk, num_inference_steps=recipe.num_inference_steps, generator=generators, **recipe.call
            ).images
            for offset, image in enumerate(images):
                image.save(folder / f"{start + offset}.png")
            ends.append(time.monotonic())
    return (len(prompts) - batch_size) / (ends[-1] - ends[0])


def job_rate(folder: Path, prompts: list[str], batch_size: int) -> tuple[float, Peaks]:
    """Pictures per second of the job, from its manifest, and its memory."""
    pq.write_table(pa.table({"prompt": prompts}), folder / "prompts.parquet")
    command = [sys.executable, "-m", "jobs", "generate", "--prompts", str(folder / "prompts.parquet"), "--output",
               str(folder / "out"), "--actors.batch_size", str(batch_size), "--audit.fraction", "0"]  # fmt: skip
    peaks = Peaks()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as job:
        watcher = threading.Thread(target=peaks.watch, args=(job.pid,))
        watcher.start()
        code = job.wait()
        peaks.stop.set()
        watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    ends = pyarrow.dataset.dataset(folder / "out" / "manifest").to_table(columns=["created_at"])["created_at"]
    seconds = (pc.max(ends).as_py() - pc.min(ends).as_py()).total_seconds()
    return (len(prompts) - batch_size) / seconds, peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="of job and loop in turn; the median ratio is shown")
    options = parser.parse_args()
    prompts = [scene.caption for scene in RECIPES["flux"]().dataset.held_out(options.prompts, seed=9)]
    ratios = []
    for round_number in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            looped = loop_rate(Path(name), prompts, options.batch_size)
            made, peaks = job_rate(Path(name), prompts, options.batch_size)
        ratios.append(made / looped)
        memory = f"driver {peaks.driver / MEGABYTE:.0f} MiB, actor {peaks.actor / MEGABYTE:.0f} MiB"
        rates = f"loop {looped:.1f}/s, job {made:.1f}/s, ratio {ratios[-1]:.3f}"
        print(f"round {round_number}: {rates}; peak memory: {memory}", flush=True)
    print(f"job / loop: {sorted(ratios)[len(ratios) // 2]:.3f} (median of {len(ratios)})")


if __name__ == "__main__":
    main()
