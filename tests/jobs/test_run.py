"""Jobs on a Ray of two CPUs, with fakes in the actors. With the packaged model: test_whole.py."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from pyarrow.fs import S3FileSystem
from rich.console import Console

from jobs.accounting.summary import Summary
from jobs.config.job import Job
from jobs.errors import JobFailed
from jobs.ids import seed_for
from jobs.output.lease import Lease
from jobs.run import generate
from tests.jobs import object_store
from tests.jobs.conftest import MODEL, WriteShard

PROMPT = "a large green ring at the top on a white background"

BuildJob = Callable[..., Job]

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = [pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data"), pytest.mark.usefixtures("log")]


def run(job: Job) -> tuple[Summary, str]:
    log = io.StringIO()
    summary = generate(job, Console(file=log, width=200))
    return summary, log.getvalue()


def manifest(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder).to_pylist() if folder.exists() else []


def test_several_models_share_prompts_and_output(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["a0", "a1"], prompt=[PROMPT] * 2)
    caches = {"one": MODEL["cache"], "two": {"method": "none"}}
    models = [{**MODEL, "name": name, "cache": cache} for name, cache in caches.items()]
    summary, _ = run(job(model=None, models=models, actors={"batch_size": 2, "num_cpus": 0.5}))
    assert {name: model.done for name, model in summary.models.items()} == {"one": 2, "two": 2}
    rows = manifest(tmp_path / "out" / "manifest")
    assert len({row["uri"] for row in rows}) == 4
    assert {row["model"]: row["seed"] for row in rows if row["id"] == "a0"} == dict.fromkeys(caches, seed_for(0, "a0"))


def test_each_model_has_actors_and_statistics_of_its_own(job: BuildJob, shard: WriteShard, tmp_path: Path) -> None:
    shard("a.parquet", id=["r0"], prompt=[PROMPT])
    models = [
        {**MODEL, "name": "pairs", "cache": {"method": "none"}},
        {**MODEL, "name": "singles", "cache": {"method": "adaptive"}, "actors": {"batch_size": 1, "num_cpus": 0.25}},
    ]
    fields = {"model": None, "models": models, "actors": {"batch_size": 2, "num_cpus": 0.5}}
    generation = {"num_inference_steps": 3, "width": 64, "height": 64, "max_sequence_length": 16, "samples": 2}
    media = {"layout": "parquet", "format": "webp"}
    built = job(**fields, generation=generation, audit={"fraction": 0.0}, media=media)
    summary, _ = run(built)
    assert {name: (model.done, model.failed) for name, model in summary.models.items()} == {
        "pairs": (2, 0),
        "singles": (2, 0),
    }
    rows = manifest(tmp_path / "out" / "manifest")
    found = {(row["model"], row["id"]): row["batch_size"] for row in rows}
    assert found == {("pairs", "r0"): 2, ("pairs", "r0-1"): 2, ("singles", "r0"): 1, ("singles", "r0-1"): 1}
    assert len({row["seed"] for row in rows}) == 2
    assert all(row["media_type"] == "image/webp" and ".parquet#" in row["uri"] for row in rows)


@pytest.mark.parametrize("lost", [False, True])
def test_who_lost_the_output_to_another_run_leaves_its_files_alone(
    job: BuildJob, shard: WriteShard, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    shard("a.parquet", prompt=[PROMPT])
    dropped: list[bool] = []

    def end(ready: object, states: object, pending: object, turn: Lease, console: object) -> None:
        turn.lost = lost
        dropped.clear()
        raise JobFailed("the end")

    monkeypatch.setattr("jobs.run._run", end)
    monkeypatch.setattr("jobs.output.manifest.drop_repeated", lambda _: dropped.append(True))
    with pytest.raises(JobFailed, match="the end"):
        run(job())
    assert bool(dropped) != lost


def test_rows_that_cannot_be_read_back_end_the_job(
    job: BuildJob, shard: WriteShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster whose nodes have an output folder each."""
    shard("a.parquet", prompt=[PROMPT])
    monkeypatch.setattr("jobs.output.manifest.read_batches", lambda *_: iter(()))
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


@pytest.mark.slow
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
