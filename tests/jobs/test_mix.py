"""Any mix of rows: the same bytes whatever the batch, the actor, the number of actors, the order, or a resume."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
from rich.console import Console

from jobs.config import Job
from jobs.run import generate
from tests.jobs.conftest import MODEL, WriteShard

BuildJob = Callable[..., Job]

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data")

CACHES = {"adaptive": {"method": "adaptive", "tolerance": 1.0}, "plain": {"method": "none"}}
ROWS = [
    {"id": f"r{number}", "prompt": prompt, "height": height, "num_inference_steps": steps, "guidance_scale": guidance}
    for number, (prompt, height, steps, guidance) in enumerate(
        [
            ("a small red circle", 64, 8, 3.5),
            ("a large green ring", 96, 8, 3.5),
            ("a small red circle", 64, 6, 3.5),
            ("a blue square", 64, 8, 3.5),
            ("a large green ring", 64, 8, 1.0),
            ("a small red circle at the left", 96, 8, 3.5),
        ]
    )
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def hashes(output: Path) -> dict[tuple[str, str], str]:
    return {(row["model"], row["id"]): row["sha256"] for row in rows(output)}


def rows(output: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(output / "manifest").to_pylist()
    return found


def test_a_row_has_the_same_bytes_in_any_job(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    models = [{**MODEL, "name": name, "cache": cache} for name, cache in CACHES.items()]

    def run(name: str, order: list[dict[str, Any]], **actors: Any) -> Path:
        for old in (tmp_path / "prompts").glob("*"):
            old.unlink()
        shard("a.parquet", **{column: [row[column] for row in order] for column in ROWS[0]})
        settings = {"exact": True, "num_cpus": 0.5, **actors}
        fields = {"model": None, "models": models, "actors": settings, "audit": {"fraction": 0.0}}
        generate(job(**fields, output=str(tmp_path / name)), Console(file=io.StringIO()))
        return tmp_path / name

    one = run("one", ROWS, count=1, batch_size=1)
    expected = hashes(one)
    assert len(expected) == 2 * len(ROWS)
    # The adaptive cache skips steps, and not the same ones for all rows.
    assert len({row["computed_mask"] for row in rows(one) if "0" in row["computed_mask"]}) > 1
    assert len(set(expected.values())) == len(expected)
    two = run("two", ROWS[::-1], count=2, batch_size=8)
    assert hashes(two) == expected
    assert {row["batch_size"] for row in rows(two)} == {1}

    lost = sorted((two / "manifest").iterdir())[::2]
    for file in lost:
        file.unlink()
    assert hashes(run("two", ROWS[3:] + ROWS[:3], count=1, batch_size=4)) == expected


def test_each_model_has_actors_and_statistics_of_its_own(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", **{column: [row[column] for row in ROWS[:1]] for column in ROWS[0]})
    models = [
        {**MODEL, "name": "pairs", "cache": CACHES["plain"]},
        {**MODEL, "name": "singles", "cache": CACHES["adaptive"], "actors": {"batch_size": 1, "num_cpus": 0.25}},
    ]
    fields = {"model": None, "models": models, "actors": {"batch_size": 2, "num_cpus": 0.5}}
    generation = {"num_inference_steps": 3, "width": 64, "height": 64, "max_sequence_length": 16, "samples": 2}
    media = {"layout": "parquet", "format": "webp"}
    built = job(**fields, generation=generation, audit={"fraction": 0.0}, media=media)
    summary = generate(built, Console(file=io.StringIO()))
    assert {name: (model.done, model.failed) for name, model in summary.models.items()} == {
        "pairs": (2, 0),
        "singles": (2, 0),
    }
    found = {(row["model"], row["id"]): row["batch_size"] for row in rows(tmp_path / "out")}
    assert found == {("pairs", "r0"): 2, ("pairs", "r0-1"): 2, ("singles", "r0"): 1, ("singles", "r0-1"): 1}
    assert len({row["seed"] for row in rows(tmp_path / "out")}) == 2
    assert all(row["media_type"] == "image/webp" and ".parquet#" in row["uri"] for row in rows(tmp_path / "out"))
