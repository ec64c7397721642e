"""`python -m tests.benchmarks.size`: what do plan, resume and statistics take of the driver, at ten million rows?

For each size a job with that many prompts and a manifest of 99 % of them is laid out, and a fresh process does what
`generate` does before its first batch and after its last: look at every prompt, look for rows that stand twice, find
what is missing, add up the manifest. Nothing is generated; a fake takes the model's place, so that no torch is in the
memory shown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_PER_SHARD = 250_000
_DONE = 0.99
_PROMPT = "a photograph of a red fox in fresh snow, early morning light, shallow depth of field, number"

MEASURE = """
import json, os, re, sys, time
from pathlib import Path
os.environ["FAKES_ALL"] = "1"
from tests.jobs import fakes
fakes.install()
from jobs.config.job import Job
from jobs import preflight, run
from jobs.output import manifest
from jobs.paths import Output
from jobs.work import to_do, works
job = Job.model_validate(json.loads(sys.argv[1]))
def now(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
# A process begins with the peak of the one that started it.
Path("/proc/self/clear_refs").write_text("5")
base, figures, start = now("VmRSS"), {}, time.perf_counter()
def note(name):
    global start
    figures[name] = (time.perf_counter() - start, now("VmHWM") - base)
    start = time.perf_counter()
ready = preflight.checked(job)
note("look at the prompts")
manifest.drop_repeated(Output(url=job.output))
note("look for rows that stand twice")
(work,) = works(ready)
pending = to_do(work, retry_failed=False)
note("find what is missing")
summary = run._summary(job, {})
note("add up the manifest")
assert len(pending) + summary.models["flux"].done == len(ready.scan.ids)
print(json.dumps({"base": base, "pending": len(pending), "figures": figures}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    for num_rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as name:
            id_bytes = lay_out(Path(name), num_rows)
            measured = measure(Path(name))
        print(f"{num_rows:,} rows, {measured['pending']:,} pending; a bare driver has {mib(measured['base'])}")
        for what, (seconds, memory) in measured["figures"].items():
            share = memory / id_bytes
            print(
                f"  {what}: {num_rows / seconds:,.0f} rows/s, peak {mib(memory)} more, {share:.1f} times the ids' bytes"
            )
        sys.stdout.flush()


def lay_out(folder: Path, num_rows: int) -> int:
    """Prompts and manifest; gives the bytes of all ids."""
    for part in ("prompts", "out/manifest"):
        (folder / part).mkdir(parents=True)
    id_bytes = 0
    for first in range(0, num_rows, _ROWS_PER_SHARD):
        numbers = range(first, min(num_rows, first + _ROWS_PER_SHARD))
        ids = [f"fox-{number:016d}" for number in numbers]
        id_bytes += sum(map(len, ids))
        prompts = pa.table({"id": ids, "prompt": [f"{_PROMPT} {number}" for number in numbers]})
        pq.write_table(prompts, folder / "prompts" / f"{first:08d}.parquet", row_group_size=25_000)
        done = prompts.slice(0, int(len(prompts) * _DONE))
        pq.write_table(manifest_rows(done), folder / "out" / "manifest" / f"{first:08d}.parquet", compression="zstd")
    return id_bytes


def manifest_rows(prompts: pa.Table) -> pa.Table:
    from jobs.ids import fingerprints
    from jobs.prompts.shards import COLUMNS
    from jobs.rows import Row, schema

    count = len(prompts)
    whole = pa.table(
        {
            name: prompts[name] if name in prompts.column_names else pa.nulls(count, kind)
            for name, kind in COLUMNS.items()
        }
    )
    known: dict[str, object] = {
        "model": "flux", "error": "", "cache": "{}", "batch_size": 4, "actor": "a", "num_gpus": 1.0, "num_cpus": 1.0,
        "versions": "{}", "created_at": datetime.now(timezone.utc), "seconds": 1.5, "steps": 28, "computed": 12,
        "num_bytes": 10**6, "seed": 1, "height": 64, "width": 64, "num_inference_steps": 28,
    }  # fmt: skip
    columns = {
        "id": prompts["id"],
        "prompt": prompts["prompt"],
        "fingerprint": pa.array(fingerprints(whole).view(np.int64)),
        "batch": pa.array([f"{number // 4:x}" for number in range(count)]),
    }
    fields = [field for field in schema(Row) if field.name in columns or field.name in known]
    arrays = [columns.get(field.name, pa.array([known.get(field.name)] * count, field.type)) for field in fields]
    return pa.table(arrays, schema=pa.schema(fields))


def measure(folder: Path) -> dict[str, Any]:
    job = {
        "name": "size", "prompts": str(folder / "prompts"), "output": str(folder / "out"),
        "model": {"pipeline": "demo/flux", "cache": {"method": "none"}},
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(job)], stdout=subprocess.PIPE, check=True, env=dict(os.environ)
    )
    measured: dict[str, Any] = json.loads(ended.stdout)
    return measured


def mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


if __name__ == "__main__":
    main()
