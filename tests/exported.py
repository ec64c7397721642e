"""What a run shows the outside: `python -m tests.exported FOLDER` runs a job on a Ray of its own and scrapes it.

The job has a row that fails and audited ones; an actor is restarted besides. The folder gets its output `out`, its
Prometheus page `metrics.txt` and the `logs` of its workers, in JSON. It is a process of its own, so that no other
test's Ray is in the way.
"""

import io
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from rich.console import Console

from jobs import metrics, run
from jobs.config.job import Job
from jobs.logs import logging_config
from jobs.runs import Tags
from tests.jobs.conftest import MODEL
from tests.jobs.object_store import free_port

PROMPT = "a large green ring at the top on a white background"
LAST = ("ray_teacache_rows_total{", "ray_teacache_actor_restarts_total{", 'stage="write"', 'stage="audit"')


def main(folder: Path) -> None:
    port = free_port()
    # Every second instead of every ten.
    system = {"metrics_report_interval_ms": 1000}
    context: Any = ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        logging_config=logging_config("json"),
        _metrics_export_port=port,
        _system_config=system,
    )
    prompts = folder / "prompts.parquet"
    pq.write_table(pa.table({"prompt": [PROMPT] * 7, "height": [64] * 6 + [50]}), prompts)
    job = Job.model_validate(
        {
            "name": "exported",
            "prompts": str(prompts),
            "output": str(folder / "out"),
            "model": MODEL,
            "generation": {"num_inference_steps": 3, "width": 64, "height": 64, "max_sequence_length": 16},
            "actors": {"batch_size": 3},
            "audit": {"fraction": 1.0},
        }
    )
    run.generate(job, Console(file=io.StringIO()))
    actor = _restarted()
    (folder / "metrics.txt").write_text(_scraped(f"http://127.0.0.1:{port}/metrics"))
    del actor
    ray.shutdown()
    shutil.copytree(
        Path(context.address_info["session_dir"]) / "logs", folder / "logs", ignore=shutil.ignore_patterns("*.sock*")
    )


class Starting:
    """An actor that counts its start, as Generate does."""

    def __init__(self) -> None:
        metrics.count_restart(Tags(run="exported-again", model="flux"))


def _restarted() -> Any:
    actor: Any = ray.remote(Starting).options(num_cpus=0, max_restarts=1, max_task_retries=-1).remote()
    ray.get(actor.__ray_ready__.remote())
    ray.kill(actor, no_restart=False)
    ray.get(actor.__ray_ready__.remote())
    return actor


def _scraped(url: str) -> str:
    """The page, once everything that was recorded got there."""
    deadline = time.monotonic() + 60
    text = ""
    while not all(name in text for name in LAST):
        if time.monotonic() > deadline:
            raise SystemExit(f"not exported within a minute: {[name for name in LAST if name not in text]}")
        time.sleep(1)
        try:
            text = urllib.request.urlopen(url, timeout=5).read().decode()
        except urllib.error.URLError:
            continue
    time.sleep(3)
    return str(urllib.request.urlopen(url, timeout=5).read().decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
