"""`python -m tests.benchmarks.actors`: how busy does a job keep its actors, be they many, or their storage slow?

Actors that sleep for a batch take no processor, so that many fit here: what is measured is all that a job does around
them. An actor's span runs from the start of its first batch to the end of its last, so start-up is apart; its busy
share is the time that it slept, of that span. For one actor the rate is also compared with a plain loop that sleeps as
long and saves the same pictures.

    python -m tests.benchmarks.actors --actors 16 64 --seconds 10 --batches 8
    python -m tests.benchmarks.actors --actors 1 --seconds 1 --batches 64 --batch-size 8 --size 512
    python -m tests.benchmarks.actors --actors 4 --seconds 1 --batches 32 --write-seconds 0.2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every actor is given to do."""

    seconds: float
    batches: int
    batch_size: int
    size: int
    write_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One actor, from its first batch to its last."""

    busy: float
    seconds: float

    @property
    def share(self) -> float:
        return self.busy / self.seconds


def spans(folder: Path, work: Work, count: int) -> list[Span]:
    """Run a job with so many actors."""
    rows = work.batches * work.batch_size * count
    pq.write_table(pa.table({"prompt": [f"p{number}" for number in range(rows)]}), folder / "prompts.parquet")
    options = {
        "name": "actors",
        "output": folder / "out",
        "prompts": folder / "prompts.parquet",
        "actors.batch_size": work.batch_size,
        "actors.count": count,
        "actors.num_cpus": 0.001,
        "model.cache.method": "none",
        "generation.width": work.size,
        "generation.height": work.size,
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tests.jobs.fakes", "generate", *given]
    own = {"FAKES_SECONDS": str(work.seconds), "FAKES_WRITE_SECONDS": str(work.write_seconds)}
    subprocess.run(command, env={**os.environ, **own}, stdout=subprocess.DEVNULL, check=True)
    columns = ["actor", "seconds", "batch_size", "created_at"]
    found = defaultdict(list)
    for row in pyarrow.dataset.dataset(folder / "out" / "manifest").to_table(columns=columns).to_pylist():
        found[row["actor"]].append(row)
    return [_span(rows) for rows in found.values()]


def _span(rows: Sequence[dict[str, float]]) -> Span:
    ends = [row["created_at"].timestamp() for row in rows]  # type: ignore[attr-defined]
    first = min(range(len(rows)), key=ends.__getitem__)
    start = ends[first] - rows[first]["seconds"] * rows[first]["batch_size"]
    return Span(busy=sum(row["seconds"] for row in rows), seconds=max(ends) - start)


def loop_seconds(folder: Path, work: Work) -> float:
    """A plain loop over as many batches."""
    stripe = np.random.default_rng(0).integers(0, 255, (1, 16, 3), dtype=np.uint8)  # as FakeGenerate's
    picture = np.tile(stripe, (work.size, work.size // 16, 1))
    start = time.perf_counter()
    for batch in range(work.batches):
        time.sleep(work.seconds)
        for row in range(work.batch_size):
            time.sleep(work.write_seconds)
            Image.fromarray(picture).save(folder / f"{batch}-{row}.png")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--batches", type=int, default=8, help="for each actor")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, default=64, help="of the pictures, in pixels")
    parser.add_argument("--write-seconds", type=float, default=0.0, help="by which each write is slowed")
    options = vars(parser.parse_args())
    counts = options.pop("actors")
    work = Work(**options)
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            found = spans(Path(name), work, count)
            shares = sorted(span.share for span in found)
            median = shares[len(shares) // 2]
            line = f"{count} actors: busy {median:.1%} (median), {shares[0]:.1%} (least)"
            if count == 1:
                line += f"; {loop_seconds(Path(name), work) / found[0].seconds:.3f} of the rate of a plain loop"
        print(line, flush=True)


if __name__ == "__main__":
    main()
