import pickle
import subprocess
import sys

import pytest
from pydantic import ValidationError

import teacache
from jobs.config.cache import Cache, cache_fields
from jobs.config.job import Job
from jobs.config.model import Model


def test_a_job_needs_little(job_fields: dict[str, object]) -> None:
    job = Job.model_validate(job_fields)
    assert job.generation.num_inference_steps == 28
    assert (job.generation.width, job.generation.height, job.generation.guidance_scale) == (1024, 1024, 3.5)
    assert job.each_model[0].name == "FLUX.1-dev"
    assert job.each_model[0].cache.config == teacache.TeaCacheConfig()


@pytest.fixture
def job_fields() -> dict[str, object]:
    return {"name": "x", "prompts": "p", "output": "o", "model": {"pipeline": "black-forest-labs/FLUX.1-dev"}}


def test_cache_settings_become_the_config_of_teacache() -> None:
    cache = Cache.model_validate({"method": "teacache", "rel_l1_thresh": 0.4, "coefficients": [1, 0]})
    assert cache.config == teacache.TeaCacheConfig(rel_l1_thresh=0.4, coefficients=(1.0, 0.0))
    assert Cache(method="none").config == teacache.Uncached()


def test_cache_settings_are_recorded_with_their_defaults() -> None:
    assert '"rel_l1_thresh": 0.2' in Cache().to_json()
    assert Cache(method="none").to_json() == '{"method": "none"}'


def test_callbacks_are_no_keys_of_a_job_file() -> None:
    assert "rel_l1_thresh" in cache_fields("teacache")
    assert not any("callback" in name for name in cache_fields("teacache"))


@pytest.mark.parametrize(
    ("cache", "sentence"),
    [
        ({"threshold": 0.2}, "unknown key threshold for method teacache; known: .*rel_l1_thresh"),
        ({"rel_l1_thresh": -1}, "rel_l1_thresh must be >= 0, got -1.0"),
        ({"method": "none", "rel_l1_thresh": 0.2}, "unknown key rel_l1_thresh for method none; known: none"),
    ],
)
def test_cache_settings_that_teacache_does_not_take_are_refused(cache: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Cache.model_validate(cache)


def test_models_are_named_apart(job_fields: dict[str, object]) -> None:
    del job_fields["model"]
    three = [{"pipeline": "a/x"}, {"pipeline": "b/y"}, {"pipeline": "c/x"}]
    with pytest.raises(ValidationError, match="models need names of their own, got x, y, x"):
        Job.model_validate({**job_fields, "models": three})
    three[2]["name"] = "z"
    assert [model.name for model in Job.model_validate({**job_fields, "models": three}).each_model] == ["x", "y", "z"]


@pytest.mark.parametrize("models", [{}, {"model": {"pipeline": "a/b"}, "models": [{"pipeline": "c/d"}]}])
def test_a_job_has_model_or_models(job_fields: dict[str, object], models: dict[str, object]) -> None:
    del job_fields["model"]
    with pytest.raises(ValidationError, match="model"):
        Job.model_validate({**job_fields, **models})


@pytest.mark.parametrize(("pipeline", "name"), [("/models/my flux/", "my-flux"), ("a/b", "b"), ("///", "model")])
def test_a_model_is_named_after_its_pipeline(pipeline: str, name: str) -> None:
    assert Model(pipeline=pipeline).name == name


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b"])
def test_names_that_could_not_be_folders_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Model(pipeline="a/b", name=name)


@pytest.mark.parametrize("name", ["prompts", "output"])
def test_a_password_in_a_url_is_refused_and_not_shown(job_fields: dict[str, object], name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name}: sftp://host/a was given with a password") as refused:
        Job.model_validate({**job_fields, name: "sftp://me:secret@host/a"})
    assert "secret" not in refused.value.errors()[0]["msg"]
    assert getattr(Job.model_validate({**job_fields, name: "sftp://me@host:22/a"}), name) == "sftp://me@host:22/a"


def test_a_job_travels_to_workers(job_fields: dict[str, object]) -> None:
    job = Job.model_validate({**job_fields, "generation": {"max_sequence_length": 16}})
    assert job.each_model[0].cache.config
    there = pickle.loads(pickle.dumps(job))
    assert there == job
    assert there.generation.extra == {"max_sequence_length": 16}


def test_workers_that_read_a_job_import_no_torch(job_fields: dict[str, object]) -> None:
    """Those that plan need none: it would take each some seconds and half a gigabyte."""
    job = Job.model_validate(job_fields)
    assert job.each_model[0].cache.config == teacache.TeaCacheConfig()
    read = "import pickle, sys; job = pickle.load(sys.stdin.buffer); print(job.name, 'torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", read], input=pickle.dumps(job), stdout=subprocess.PIPE, check=True)
    assert ended.stdout == b"x False\n"


def test_a_target_is_no_cache_until_its_setting_is_found() -> None:
    cache = Cache.model_validate({"target": {"psnr": 35}, "granularity": "batch"})
    assert cache.config == teacache.Uncached()
    assert cache.to_json() == '{"target":{"psnr":35.0},"granularity":"batch"}'
    assert Cache.model_validate({"method": "schedule", "target": {"ssim": 0.9}}).config == teacache.Uncached()


@pytest.mark.parametrize(
    ("cache", "sentence"),
    [
        ({"target": {}}, "target names no measure; give one"),
        ({"target": {"psnr": 35}, "tolerance": 0.1, "method": "adaptive"}, "tolerance can't stand beside target"),
        ({"target": {"psnr": 35}, "method": "none"}, "method: none can't stand beside target"),
        ({"target": {"psnr": 35}, "granularity": "row"}, "Input should be 'sample' or 'batch'"),
    ],
)
def test_what_a_target_finds_can_not_be_given_too(cache: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Cache.model_validate(cache)
