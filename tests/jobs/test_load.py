from pathlib import Path

import pytest

from jobs.config.load import DEMO, DEMO_JOBS, load_job
from jobs.errors import Refused
from jobs.paths import packaged

YAML = """\
name: fox-flux
prompts: s3://prompts/fox/
output: s3://images/fox-flux
model:
  pipeline: black-forest-labs/FLUX.1-dev
  dtype: bfloat16
  cache: {method: teacache, rel_l1_thresh: 0.25}
generation: {num_inference_steps: 28, width: 1024, height: 1024, guidance_scale: 3.5}
actors: {count: 8, num_gpus: 1, num_cpus: 4, batch_size: 4}
audit: {fraction: 0.02}
price_per_hour: 2.49
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(YAML)
    return str(path)


def test_a_file_is_read(file: str) -> None:
    job = load_job([file])
    assert (job.name, job.actors.count, job.price_per_hour) == ("fox-flux", 8, 2.49)
    assert job.each_model[0].cache.config.rel_l1_thresh == 0.25


def test_without_a_file_the_demo_is_the_job() -> None:
    job = load_job([])
    assert (job.prompts, job.each_model[0].pipeline, job.output) == ("demo/prompts", "demo/flux", "outputs/demo-flux")


@pytest.mark.parametrize("model", DEMO_JOBS)
def test_without_a_file_model_names_a_packaged_demo(model: str) -> None:
    job = load_job(["--model", model, "--actors.batch_size", "2"])
    assert (job.name, job.each_model[0].pipeline, job.actors.batch_size) == (f"demo-{model}", f"demo/{model}", 2)
    assert Path(packaged(job.prompts), "prompts-00003-of-00004.parquet").is_file()
    assert Path(packaged(f"demo/{model}"), "model_index.json").is_file()


def test_an_unknown_demo_is_refused() -> None:
    with pytest.raises(Refused, match=r"--model sora: without a job file .*: cogvideox, flux, lumina2, mochi$"):
        load_job(["--model", "sora"])


def test_overrides_reach_every_depth_and_may_stand_before_the_file(file: str) -> None:
    job = load_job(["--output", "/tmp/x", "--actors.batch_size=2", file, "--model.cache.rel_l1_thresh", "0.4"])
    assert (job.output, job.actors.batch_size, job.actors.count) == ("/tmp/x", 2, 8)
    assert job.each_model[0].cache.config.rel_l1_thresh == 0.4
    assert job.each_model[0].dtype == "bfloat16"


def test_overrides_are_yaml() -> None:
    job = load_job(["--model.cache.coefficients", "[1, 0.5]", "--price_per_hour", "null", "--name", "7"])
    assert job.each_model[0].cache.config.coefficients == (1.0, 0.5)
    assert (job.price_per_hour, job.name) == (None, "7")


@pytest.mark.parametrize("text", ["0012345", "1e5", "2024-01-01", "true", "0x10"])
def test_text_is_taken_as_it_stands(text: str) -> None:
    job = load_job(["--model.revision", text, "--name", text, "--generation.negative_prompt", text])
    assert (job.each_model[0].revision, job.name, job.generation.negative_prompt) == (text, text, text)
    assert load_job(["--model.revision", "null"]).each_model[0].revision is None


def test_a_date_in_a_file_is_text_and_a_number_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(YAML.replace("fox-flux\n", "2024-01-01\n", 1))
    assert load_job([str(file)]).name == "2024-01-01"
    file.write_text(YAML.replace("fox-flux\n", "0012345\n", 1))
    with pytest.raises(Refused, match=r"name: .*string .put quotes around it., got 5349"):
        load_job([str(file)])


@pytest.mark.parametrize(
    "field",
    ["price_per_hour", "generation.guidance_scale", "audit.fraction", "actors.num_cpus", "generation.true_cfg_scale"],
)
@pytest.mark.parametrize("value", [".inf", ".nan"])
def test_numbers_are_finite(field: str, value: str) -> None:
    with pytest.raises(Refused, match="finite number"):
        load_job([f"--{field}", value])


def test_several_models_replace_the_one() -> None:
    job = load_job(["--model", "null", "--models", "[{pipeline: a/b}, {pipeline: c/d}, {pipeline: e/f}]"])
    assert [model.name for model in job.each_model] == ["b", "d", "f"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--actors.batchsize", "3"], r"job: unknown key actors.batchsize \(did you mean batch_size\?\)"),
        (["--colour", "red"], r"unknown key colour \(known: name, prompts, skip_unreadable_shards, output"),
        (
            ["--models", "[{pipeline: a/b, dtyp: x}]", "--model", "null"],
            r"unknown key models.0.dtyp \(did you mean dtype",
        ),
        (["--generation.num_inference_steps", "many"], "generation.num_inference_steps: .*integer.*, got 'many'"),
        (["--generation.num_inference_steps", "0"], "generation.num_inference_steps: .*greater than 0, got 0"),
        (["--actors", "4"], "actors: .*, got 4"),
        (["--audit.fraction", "2"], "audit.fraction: .*less than or equal to 1, got 2"),
        (["--model.cache.method", "magic"], "model.cache.method: .*, got 'magic'"),
        (["--model.cache.rel_l1_thresh", "-1"], r"model.cache: rel_l1_thresh must be >= 0, got -1.0$"),
        (["--model", "null"], "model is missing"),
        (["--name"], "--name needs a value"),
        (["--name", "--output", "x"], "--name needs a value"),
        (
            [str(DEMO_JOBS[DEMO]), str(DEMO_JOBS[DEMO])],
            "one job at a time, got .*flux.yaml .*flux.yaml; a second file says only what",
        ),
        (["--model.cache.target.psnr", "high"], "model.cache.target.psnr: .*valid number.*, got 'high'"),
        (["--model.cache.target.fid", "3"], "unknown key model.cache.target.fid .known: psnr, ssim, ms_ssim, lpips"),
        (["/nowhere/job.yaml"], "/nowhere/job.yaml: there is no such job file"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refused:
        load_job(arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name: [", "not valid YAML"),
        ("- a\n- b\n", "a job file is a mapping of keys to values, got list"),
        ("", "a job file is a mapping of keys to values, got NoneType"),
        ("name: x\n", "prompts is missing; output is missing"),
        ("\x00\x01", "not valid YAML"),
        (YAML.replace("audit:", "audits:"), "unknown key audits .did you mean audit.."),
    ],
)
def test_files_that_are_no_jobs_are_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(content)
    with pytest.raises(Refused, match=f"job.yaml: .*{sentence}") as refused:
        load_job([str(path)])
    assert "\n" not in str(refused.value)


def test_a_second_file_says_what_differs(tmp_path: Path) -> None:
    first = tmp_path / "first.yaml"
    first.write_text("generation: {num_inference_steps: 9}\nmodel: {cache: {method: adaptive, tolerance: 0.2}}\n")
    second = tmp_path / "second.yaml"
    second.write_text("model: {cache: {method: none}}\n")
    job = load_job([str(DEMO_JOBS[DEMO]), str(first), str(second), "--seed", "3"])
    assert (job.generation.num_inference_steps, job.generation.width, job.seed) == (9, 64, 3)
    assert job.model is not None
    # A cache is replaced as a whole: a tolerance goes with its method.
    assert (job.model.cache.method, job.model.cache.model_extra) == ("none", {})
    assert job.model.pipeline == "demo/flux"
