import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.config import Job
from jobs.errors import Refused
from jobs.identity import claim, settings
from tests.jobs.conftest import MODEL

BuildJob = Callable[..., Job]


def test_the_same_job_claims_its_output_again(job: BuildJob, tmp_path: Path) -> None:
    for _ in range(3):
        claim(job())
    assert json.loads((tmp_path / "out" / "job.json").read_text()) == settings(job())


def test_what_does_not_change_a_picture_may_change(job: BuildJob) -> None:
    claim(job())
    claim(job(actors={"count": 2}, audit={"fraction": 0.5}, price_per_hour=1.0, name="other"))


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"seed": 1}, "holds rows made with seed = 0, not 1; give another --output"),
        ({"model": {**MODEL, "dtype": "bfloat16"}}, 'models.flux.dtype = "float32", not "bfloat16"'),
        ({"model": {**MODEL, "cache": {"method": "none"}}}, "models.flux.cache = .*, not .*none"),
        ({"generation": {"num_inference_steps": 3, "width": 64, "height": 64}}, "max_sequence_length = 16, not null"),
    ],
)
def test_other_settings_are_refused(job: BuildJob, sections: dict[str, object], sentence: str) -> None:
    claim(job())
    with pytest.raises(Refused, match=sentence):
        claim(job(**sections))


def test_an_output_that_cannot_be_written_is_refused(job: BuildJob, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (f"{tmp_path}/file", f"{tmp_path}/file/below", "bogus://bucket"):
        with pytest.raises(Refused, match="output: can't write"):
            claim(job(output=output))


def test_an_output_of_something_else_is_refused(job: BuildJob, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "job.json").write_text("not ours")
    with pytest.raises(Refused, match="output: can't write"):
        claim(job())
