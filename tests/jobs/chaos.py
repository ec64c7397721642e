"""Kill parts of a job at random moments, run it again, and count what is there in the end.

`python -m tests.jobs.chaos --kills 20` does it by hand and prints the figures; the seed that it prints repeats the
choice of victims and moments.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from jobs import storage

VICTIMS = ("driver", "actor", "planner", "raylet", "all of Ray")
BATCH_SIZE = 4


@dataclass
class Chaos:
    """One job and what is done to it."""

    folder: Path
    """Prompts, and the log of what was made."""
    output: str
    seed: int
    num_rows: int = 160
    environment: dict[str, str] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    runs: int = 0

    def prepare(self) -> None:
        self.random = random.Random(self.seed)
        (self.folder / "prompts").mkdir()
        ids = [f"r{number}" for number in range(self.num_rows)]
        pq.write_table(pa.table({"id": ids, "prompt": ids}), self.folder / "prompts" / "a.parquet")

    def start(self) -> subprocess.Popen[bytes]:
        self.runs += 1
        command = [sys.executable, "-m", "tests.jobs.fakes", "generate", "--name", "chaos", "--output", self.output,
                   "--prompts", str(self.folder / "prompts"), "--actors.batch_size", str(BATCH_SIZE),
                   "--generation.width", "16", "--generation.height", "16", "--model.cache.method", "none"]  # fmt: skip
        log = self.folder / "log"
        root = str(Path(__file__).parents[2])  # for the modules of Ray's workers
        # At nearly every moment one batch is made and another one written.
        slow = {"FAKES_SECONDS": "0.5", "FAKES_WRITE_SECONDS": "0.2"}
        own = {"PYTHONPATH": root, "FAKES_LOG": str(log), **slow}
        environment = {**os.environ, **own, **self.environment}
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)

    def kill(self, kills: int) -> None:
        """Start the job as often as it takes to kill so many of its processes, each after a random time of work."""
        while len(self.killed) < kills:
            job = self.start()
            family = self.wait_for_work(job)
            while len(self.killed) < kills and job.poll() is None:
                time.sleep(self.random.uniform(0.0, 4.0))
                victim = self.random.choice(VICTIMS)
                if job.poll() is None and _kill(job.pid, victim):
                    self.killed.append(victim)
                    print(f"kill {len(self.killed)}: {victim}, {len(self.made())} rows made so far", flush=True)
                    if victim not in ("actor", "planner"):
                        break
                family += _descendants(job.pid)
            if self.killed and self.killed[-1] in ("actor", "planner") and job.poll() is None:
                self.killed.append("all of Ray")  # That was the last one, and the job still runs.
            end(job, family)
            if len(self.killed) < kills and not self._left():
                raise SystemExit("all rows are made before all kills are done: give more rows")

    def finish(self) -> int:
        """The job once more, undisturbed."""
        job = self.start()
        code = job.wait()
        end(job, [])
        return code

    def begun(self) -> list[str]:
        return self._logged("log")

    def made(self) -> list[str]:
        return self._logged("log.made")

    def _logged(self, name: str) -> list[str]:
        log = self.folder / name
        return log.read_text().split() if log.exists() else []

    def _left(self) -> int:
        return self.num_rows - len(set(self.made()))

    def wait_for_work(self, job: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Until the job has written rows, or has ended: before its first ones there is nothing to lose."""
        before = self._manifest()
        while job.poll() is None and self._manifest() <= before:
            time.sleep(0.2)
        return _descendants(job.pid)

    def _manifest(self) -> set[str]:
        fs, path = storage.open_url(f"{self.output}/manifest")
        fs.invalidate_cache()
        return {name for name in fs.find(path) if name.endswith(".parquet")}


def check(chaos: Chaos) -> dict[str, int]:
    """What is in the output; raises AssertionError for a row, file or picture that is not as it must be."""
    fs, root = storage.open_url(chaos.output)
    fs.invalidate_cache()
    files = [path for path in fs.find(root) if "/media/" in path]
    rows = [row for path in fs.find(f"{root}/manifest") for row in pq.read_table(fs.open(path)).to_pylist()]
    counts = collections.Counter(row["id"] for row in rows)
    assert set(counts) == {f"r{number}" for number in range(chaos.num_rows)}
    assert max(counts.values()) == 1, [row_id for row_id, count in counts.items() if count > 1]
    assert not fs.exists(f"{root}/failed")
    assert len(files) == len(rows), (len(files), len(rows))
    for row in rows:
        assert hashlib.sha256(fs.cat_file(row["uri"])).hexdigest() == row["sha256"], row["id"]
    begun, made = chaos.begun(), chaos.made()
    return {
        "kills": len(chaos.killed),
        "runs": chaos.runs,
        "rows": len(rows),
        "files": len(files),
        "rows begun again": len(begun) - len(set(begun)),
        "rows made again": len(made) - len(set(made)),
        "most often made": max(collections.Counter(made).values()),
    }


def _kill(driver: int, victim: str) -> bool:
    """SIGKILL; False where there is no such process by now."""
    found = list(_named(driver, victim))
    for process in found:
        process.kill()
    return bool(found)


def _named(driver: int, victim: str) -> Iterator[psutil.Process]:
    if victim in ("driver", "all of Ray"):
        yield psutil.Process(driver)
    for process in _descendants(driver):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if (
            victim == "all of Ray"
            or (victim == "actor" and "MapWorker(MapBatches(Actor))" in title)
            or (victim == "planner" and "MapBatches(plan)" in title)
            or (victim == "raylet" and title.split(" ")[0].endswith("/raylet"))
        ):
            yield process


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def end(job: subprocess.Popen[bytes], family: list[psutil.Process]) -> None:
    """A driver without its Ray may wait for it for a minute: not what is tested here."""
    for process in [*_descendants(job.pid), *family]:
        try:
            process.kill()
        except psutil.Error:
            continue
    job.kill()
    job.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chaos = Chaos(folder=folder, output=str(folder / "out"), seed=options.seed, num_rows=options.rows)
        chaos.prepare()
        chaos.kill(options.kills)
        code = chaos.finish()
        print(f"exit code {code}; {check(chaos)}")


if __name__ == "__main__":
    main()
