import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from jobs.config.job import Job
from jobs.config.model import Model
from jobs.errors import Refused
from jobs.output import contents
from jobs.output.identity import claim, is_of_files, settings
from jobs.output.manifest import write_batch
from jobs.paths import Output, packaged
from jobs.rows import Row, table
from tests.jobs.conftest import MODEL
from tests.jobs.test_manifest import row

BuildJob = Callable[..., Job]


def test_the_same_job_claims_its_output_again(job: BuildJob, tmp_path: Path) -> None:
    for _ in range(3):
        claim(job())
    assert json.loads((tmp_path / "out" / "job.json").read_text()) == settings(job())


def write_a_row(tmp_path: Path) -> None:
    write_batch(table(Row, [row("a")]), Output(url=str(tmp_path / "out")))


def test_a_run_that_wrote_nothing_does_not_bind_the_next(job: BuildJob, tmp_path: Path) -> None:
    claim(job(seed=1))
    claim(job(seed=2))
    assert json.loads((tmp_path / "out" / "job.json").read_text())["seed"] == 2


def test_a_model_may_join_and_the_others_stay_guarded(job: BuildJob, tmp_path: Path) -> None:
    claim(job())
    write_a_row(tmp_path)
    claim(job(model={**MODEL, "name": "other.one", "dtype": "bfloat16"}))
    with pytest.raises(Refused, match=r"models\.flux\.dtype"):
        claim(job(model={**MODEL, "dtype": "bfloat16"}))


def test_a_setting_that_came_later_had_its_default_before(job: BuildJob, tmp_path: Path) -> None:
    file = tmp_path / "out" / "job.json"
    claim(job())
    write_a_row(tmp_path)
    noted = json.loads(file.read_text())
    del noted["seed"], noted["generation.guidance_scale"], noted["models.flux.revision"]
    del noted["models.flux.cache"]["rel_l1_thresh"]
    file.write_text(json.dumps(noted))
    claim(job())
    assert json.loads(file.read_text()) == settings(job())


def test_what_does_not_change_a_picture_may_change(job: BuildJob, tmp_path: Path) -> None:
    claim(job())
    write_a_row(tmp_path)
    claim(job(actors={"count": 2}, audit={"fraction": 0.5}, price_per_hour=1.0, name="other"))


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"seed": 1}, "holds rows made with seed = 0, not 1; give another --output"),
        ({"model": {**MODEL, "dtype": "bfloat16"}}, 'models.flux.dtype = "float32", not "bfloat16"'),
        ({"model": {**MODEL, "cache": {"method": "none"}}}, 'models.flux.cache.method = "teacache", not "none"; give'),
        (
            {"model": {**MODEL, "cache": {**MODEL["cache"], "rel_l1_thresh": 0.4}}},
            "cache.rel_l1_thresh = .*, not 0.4; give",
        ),
        ({"generation": {"num_inference_steps": 3, "width": 64, "height": 64}}, "max_sequence_length = 16, not null"),
    ],
)
def test_other_settings_are_refused(job: BuildJob, tmp_path: Path, sections: dict[str, object], sentence: str) -> None:
    claim(job())
    write_a_row(tmp_path)
    with pytest.raises(Refused, match=sentence):
        claim(job(**sections))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(packaged("demo/flux"), tmp_path / "flux"))


def trained_again(file: Path) -> None:
    """Of the same size, with the same header, and other weights."""
    content = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    content[start:] = bytes(255 - byte for byte in content[start:])
    file.write_bytes(content)


def test_weights_that_changed_under_their_name_are_refused(job: BuildJob, tmp_path: Path, folder: Path) -> None:
    lora = tmp_path / "lora.safetensors"
    save_file({"a": torch.zeros(1000)}, lora)
    built = job(model={**MODEL, "pipeline": str(folder), "lora": [{"weights": str(lora)}]})
    claim(built)
    write_a_row(tmp_path)
    (folder / "README.md").write_text("about")
    claim(built)
    for file in (lora, next((folder / "transformer").glob("*.safetensors"))):
        before = file.read_bytes()
        trained_again(file)
        with pytest.raises(Refused, match=r"models\.flux\.weights files of other content, under the same name; give"):
            claim(built)
        file.write_bytes(before)
    claim(built)


def test_a_calibration_that_decides_and_changed_is_refused(job: BuildJob, tmp_path: Path, folder: Path) -> None:
    caches: dict[str, dict[str, object]] = {
        "teacache": {"method": "teacache"},
        "computed": {"method": "schedule", "computed": 2},
        "given": {"method": "teacache", "calibration": str(folder / "teacache.json")},
        "own": {"method": "teacache", "coefficients": [0.0]},
        "steps": {"method": "schedule", "steps": [0, 2]},
        "adaptive": {"method": "adaptive"},
    }
    models = [{"name": name, "pipeline": str(folder), "cache": cache} for name, cache in caches.items()]
    before = settings(job(model=None, models=models))
    file = folder / "teacache.json"
    file.write_text(file.read_text() + " ")
    after = settings(job(model=None, models=models))
    changed = {f"models.{name}.calibration" for name in ("teacache", "computed", "given")}
    assert {name for name in before if before[name] != after[name]} == changed


def test_an_output_from_before_files_were_noted_goes_on(job: BuildJob, tmp_path: Path) -> None:
    claim(job())
    write_a_row(tmp_path)
    file = tmp_path / "out" / "job.json"
    noted = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in noted.items() if not is_of_files(name)}))
    claim(job())
    assert json.loads(file.read_text()) == noted


def test_a_models_files_are_read_once_and_told_of_where_they_cannot_be(
    job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(contents, "weights", lambda model: read.append(model.name))
    claim(job())
    assert read == ["flux"]

    def fail(model: Model) -> str:
        raise PermissionError("tokenizer.json")

    monkeypatch.setattr(contents, "weights", fail)
    with pytest.raises(Refused, match=r"^model flux: can't read its files: PermissionError: tokenizer\.json$"):
        claim(job())


def test_an_output_that_cannot_be_written_is_refused(job: BuildJob, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outputs = {f"{tmp_path}/file": "write", f"{tmp_path}/file/below": "write", "bogus://bucket": "read"}
    for output, what in outputs.items():
        with pytest.raises(Refused, match=f"output: can't {what}"):
            claim(job(output=output))


@pytest.mark.parametrize("content", ["not ours", "[1]", "3"])
def test_an_output_of_something_else_is_refused(job: BuildJob, tmp_path: Path, content: str) -> None:
    write_a_row(tmp_path)
    (tmp_path / "out" / "job.json").write_text(content)
    with pytest.raises(Refused, match=r"job\.json is no JSON object, so not of a job; give another --output$"):
        claim(job())
