"""Prompt shards and a job small enough for a test."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec.config
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from jobs.config.job import Job
from tests.jobs import fakes, object_store

WriteShard = Callable[..., Path]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Ray of two CPUs, its actors with FakeGenerate inside, which logs there what it is given to make.

    Its workers may write to S3.
    """
    path = tmp_path_factory.mktemp("fakes") / "log"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**object_store.CREDENTIALS, "FAKES_LOG": str(path)}.items():
            patch.setenv(name, value)
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=fakes.RUNTIME_ENV
        )
        yield path
        ray.shutdown()


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray of two CPUs, its actors as they are."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def storage_options() -> Iterator[None]:
    """What a job sets for the file systems of its process is not there for the next test's."""
    before = dict(fsspec.config.conf)
    yield
    fsspec.config.conf.clear()
    fsspec.config.conf.update(before)


@pytest.fixture
def shard(tmp_path: Path) -> WriteShard:
    """Write one Parquet file of prompts: `shard("a.parquet", id=[...], prompt=[...])`."""

    def write(name: str, **columns: Any) -> Path:
        path = tmp_path / "prompts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
        return path

    return write


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """A job on the packaged model, three steps of 64 x 64, with some sections replaced."""

    def build(**sections: Any) -> Job:
        fields: Mapping[str, Any] = {
            "name": "test",
            "prompts": str(tmp_path / "prompts"),
            "output": str(tmp_path / "out"),
            "model": MODEL,
            "generation": {"num_inference_steps": 3, "width": 64, "height": 64, "max_sequence_length": 16},
            "actors": {"batch_size": 3},
            "audit": {"fraction": 1.0},
        }
        return Job.model_validate({**fields, **sections})

    return build


# A polynomial that is zero everywhere skips every step but the first and the last, whatever the weights are.
MODEL: dict[str, Any] = {
    "pipeline": "demo/flux",
    "dtype": "float32",
    "cache": {"method": "teacache", "coefficients": [0.0]},
}
