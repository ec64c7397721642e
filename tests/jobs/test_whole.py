"""Whole jobs with the packaged model on a Ray of two CPUs: from shards to statistics; and any mix of rows to the same
bytes, whatever the batch, the actor, the number of actors, the order, or a resume.
"""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.config.job import Job
from jobs.errors import Refused
from jobs.ids import seed_for
from tests.jobs.conftest import MODEL, WriteShard
from tests.jobs.test_run import PROMPT, manifest, run

BuildJob = Callable[..., Job]

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("cluster"),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data"),
]

HOSTILE = "../../\u202e<script>/etc/passwd\n"
CACHE = {"method": "adaptive", "tolerance": 1.0}
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


def hashes(output: Path) -> dict[str, str]:
    return {row["id"]: row["sha256"] for row in manifest(output / "manifest")}


def test_a_row_has_the_same_bytes_in_any_job(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    def made(name: str, order: list[dict[str, Any]], **actors: Any) -> Path:
        for old in (tmp_path / "prompts").glob("*"):
            old.unlink()
        shard("a.parquet", **{column: [row[column] for row in order] for column in ROWS[0]})
        settings = {"exact": True, "num_cpus": 0.5, **actors}
        fields = {"model": {**MODEL, "cache": CACHE}, "actors": settings, "audit": {"fraction": 0.0}}
        run(job(**fields, output=str(tmp_path / name)))
        return tmp_path / name

    one = made("one", ROWS, count=1, batch_size=1)
    expected = hashes(one)
    assert len(expected) == len(ROWS)
    # The adaptive cache skips steps, and not the same ones for all rows.
    assert len({row["computed_mask"] for row in manifest(one / "manifest") if "0" in row["computed_mask"]}) > 1
    assert len(set(expected.values())) == len(expected)
    two = made("two", ROWS[::-1], count=2, batch_size=8)
    assert hashes(two) == expected
    assert {row["batch_size"] for row in manifest(two / "manifest")} == {1}

    lost = sorted((two / "manifest").iterdir())[::2]
    for file in lost:
        file.unlink()
    assert hashes(made("two", ROWS[3:] + ROWS[:3], count=1, batch_size=4)) == expected


@pytest.fixture
def shards(shard: WriteShard) -> None:
    shard("a.parquet", id=["a0", HOSTILE, "a2", "a3"], prompt=[PROMPT] * 4, seed=[11, None, None, None])
    shard("b.parquet", prompt=[PROMPT, PROMPT], height=[96, 50], num_inference_steps=[None, 2])
    shard("deep/c.parquet", id=["c0"], prompt=["<b>{{7*7}}</b>; DROP TABLE"])


@pytest.mark.usefixtures("shards")
def test_a_job_from_shards_to_statistics_and_again(job: BuildJob, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary, log = run(job())
    done, failed = manifest(out / "manifest"), manifest(out / "failed")

    assert {row["id"] for row in done} == {"a0", HOSTILE, "a2", "a3", "b.parquet#0", "c0"}
    assert [row["id"] for row in failed] == ["b.parquet#1"]
    assert failed[0]["error"].startswith("ValueError: asked for height 50")
    assert "flux: 7 of 7 rows, 1 failed" in log
    by_id = {row["id"]: row for row in done}
    assert by_id["a0"]["seed"] == 11
    assert by_id[HOSTILE]["seed"] == seed_for(0, HOSTILE)
    assert by_id["b.parquet#0"]["height"] == 96
    for row in done:
        content = media(out, row).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert Image.open(io.BytesIO(content)).size == (row["width"], row["height"])
        assert row["baseline_seconds"] > 0
        assert 0 < row["psnr"] <= 100
        assert row["computed"] == 2
        assert row["ssim"] <= 1
        assert Path(row["baseline_uri"].removeprefix("file://")).is_relative_to(out / "audit" / "flux")
    assert len(list(out.glob("media/**/*.png"))) == 6
    stats = json.loads((out / "stats.json").read_text())["models"]["flux"]
    assert (stats["done"], stats["failed"], stats["audited"]) == (6, 1, 6)
    assert stats["speedup"] == summary.models["flux"].speedup
    assert f"report: file://{out}/report.html" in log
    assert (out / "report.html").read_text().count("<figure") == 6
    assert pq.read_table(out / "stats.parquet").to_pylist()[0]["speedup"] == stats["speedup"]

    unchanged = {path: path.read_bytes() for path in out.glob("*/*.parquet")}
    lost = next((out / "manifest").iterdir())
    ids = [row["id"] for row in manifest(lost)]
    lost.unlink()
    again, log = run(job())
    assert f"test: {len(ids)} rows to do" in log
    assert again.runs["flux"].done == len(ids)
    assert {row["id"] for row in manifest(out / "manifest")} == set(by_id)
    assert again.models["flux"].done == 6
    assert all(path.read_bytes() == content for path, content in unchanged.items() if path != lost)

    nothing, log = run(job())
    assert "test: 0 rows to do" in log
    assert (nothing.runs, nothing.models["flux"].done, nothing.failed) == ({}, 6, 1)
    with pytest.raises(Refused, match=r"holds rows made with seed = 0, not 5"):
        run(job(seed=5))


def media(out: Path, row: dict[str, Any]) -> Path:
    path = Path(row["uri"].removeprefix("file://"))
    assert path.resolve().is_relative_to((out / "media" / "flux").resolve())
    return path
