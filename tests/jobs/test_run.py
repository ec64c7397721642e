"""Whole jobs on a Ray of two CPUs, with the packaged model: a few rows, three steps."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image
from pyarrow.fs import S3FileSystem
from rich.console import Console

from jobs.config import Job
from jobs.errors import JobFailed, Refused
from jobs.ids import seed_for
from jobs.run import generate
from jobs.summary import Summary
from tests.jobs import object_store
from tests.jobs.conftest import MODEL, WriteShard

PROMPT = "a large green ring at the top on a white background"
HOSTILE = "../../\u202e<script>/etc/passwd\n"

BuildJob = Callable[..., Job]

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.CREDENTIALS.items():
            patch.setenv(name, value)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def run(job: Job) -> tuple[Summary, str]:
    log = io.StringIO()
    summary = generate(job, Console(file=log, width=200))
    return summary, log.getvalue()


def manifest(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder).to_pylist() if folder.exists() else []


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


def test_several_models_share_prompts_and_output(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["a0", "a1"], prompt=[PROMPT] * 2)
    caches = {"one": MODEL["cache"], "two": {"method": "none"}}
    models = [{**MODEL, "name": name, "cache": cache} for name, cache in caches.items()]
    summary, _ = run(job(model=None, models=models, actors={"batch_size": 2, "num_cpus": 0.5}))
    assert {name: model.done for name, model in summary.models.items()} == {"one": 2, "two": 2}
    rows = manifest(tmp_path / "out" / "manifest")
    assert len({row["uri"] for row in rows}) == 4
    assert {row["model"]: row["seed"] for row in rows if row["id"] == "a0"} == dict.fromkeys(caches, seed_for(0, "a0"))
    assert {json.loads(row["cache"])["method"] for row in rows} == {"teacache", "none"}


def test_an_actor_that_cannot_load_its_model_ends_the_job(job: BuildJob, shard: WriteShard) -> None:
    shard("a.parquet", prompt=[PROMPT])
    with pytest.raises(JobFailed, match=r"model flux: .*variant=nope") as failed:
        run(job(model={**MODEL, "variant": "nope"}))
    assert "\n" not in str(failed.value)


def test_rows_that_cannot_be_read_back_end_the_job(
    job: BuildJob, shard: WriteShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster whose nodes have an output folder each."""
    shard("a.parquet", prompt=[PROMPT])
    monkeypatch.setattr("jobs.manifest.read_batches", lambda *_: iter(()))
    with pytest.raises(JobFailed, match=r"1 written rows can't be read back from .*; is it shared by all nodes\?"):
        run(job(audit={"fraction": 0}))


def test_brackets_in_a_path_are_no_markup(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", prompt=[PROMPT])
    _, log = run(job(output=f"{tmp_path}/[bold] [/b]", audit={"fraction": 0}))
    assert f"test: 1 rows to do, output file://{tmp_path}/[bold] [/b]\n" in log


def test_a_manifest_that_cannot_be_written_ends_the_job(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", prompt=[PROMPT])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest").touch()
    with pytest.raises(
        JobFailed, match=r"model flux: some rows could not be written.*FileExistsError: .*manifest"
    ) as failed:
        run(job(audit={"fraction": 0}))
    assert "\n" not in str(failed.value)


def test_a_job_from_s3_to_s3_which_rays_own_file_system_reads(job: BuildJob) -> None:
    with object_store.server() as url:
        remote = S3FileSystem(endpoint_override=url)
        prompts = pa.table({"id": ["a", "b"], "prompt": [PROMPT] * 2})
        pq.write_table(prompts, f"{object_store.BUCKET}/prompts/a.parquet", filesystem=remote)
        place = f"s3://{object_store.BUCKET}"
        fields = {"prompts": f"{place}/prompts", "output": f"{place}/out", "audit": {"fraction": 0}}
        summary, _ = run(job(**fields, storage_options={"s3": {"endpoint_url": url}}, media={"layout": "parquet"}))
        assert summary.models["flux"].done == 2
        found = ray.data.read_parquet(f"{object_store.BUCKET}/out/manifest", filesystem=remote).take_all()
        assert {row["id"] for row in found} == {"a", "b"}
        shard = found[0]["uri"].removeprefix("s3://").partition("#")[0]
        pictures = ray.data.read_parquet(shard, filesystem=remote).take_all()
        digests = {hashlib.sha256(row["media"]["bytes"]).hexdigest() for row in pictures}
        assert digests == {row["sha256"] for row in found}
