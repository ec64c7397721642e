import json
from pathlib import Path

import pytest

from jobs.config.model import Model
from jobs.errors import Refused
from jobs.evaluation.calibrated import Applicable, applicable
from jobs.evaluation.settings import evenly
from jobs.paths import Output, packaged
from tests.jobs import tiny_video

BESIDE = Path(packaged("demo/flux")) / "teacache.json"


def found(tmp_path: Path, steps: int = 28, only: tuple[str, ...] = (), **cache: object) -> Applicable:
    model = Model.model_validate({"pipeline": "demo/flux", "cache": cache or {"method": "teacache"}})
    return applicable(model, Output(url=str(tmp_path)), steps, only)


def schedules(there: Applicable) -> dict[str, tuple[int, ...]]:
    """The steps of each schedule that is a list; none of one that a calibration gives."""
    return {each.label: each.cache.config.steps for each in there.settings if each.method == "schedule"}


def test_the_calibration_beside_the_weights_gives_the_schedules(tmp_path: Path) -> None:
    there = found(tmp_path)
    assert there.notes == []
    assert set(schedules(there).values()) == {()}
    # It is found without being named.
    assert all("calibration" not in (each.cache.model_extra or {}) for each in there.settings)
    assert {each.method for each in there.settings} == {
        "fewer steps", "teacache", "teacache order 1", "adaptive", "schedule"
    }  # fmt: skip


def test_another_number_of_steps_has_evenly_spaced_ones(tmp_path: Path) -> None:
    there = found(tmp_path, steps=20)
    assert schedules(there)["10 computed"] == evenly(10, 20)
    (note,) = there.notes
    assert note.startswith("schedule: evenly spaced steps, for ")
    assert note.endswith("teacache.json is of 28 steps")


def test_what_calibrate_wrote_for_the_job_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "calibration" / "flux.json"
    file.parent.mkdir()
    written = json.loads(BESIDE.read_text())
    written["schedules"]["transformer"] = [{"steps": [0, 1, 27], "error": 0.1}, {"steps": [*range(13), 27], "error": 0}]
    file.write_text(json.dumps(written))
    there = found(tmp_path)
    assert schedules(there)["14 computed"] == ()
    assert schedules(there)["7 computed"] == evenly(7, 28)
    teacache = next(each for each in there.settings if each.method == "teacache")
    assert teacache.cache.config.calibration == str(file)
    assert there.calibration != found(tmp_path / "elsewhere").calibration


def test_a_calibration_of_another_checkpoint_is_told(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(BESIDE.read_text().replace('"guidance_embeds": false', '"guidance_embeds": true'))
    there = found(tmp_path, method="schedule", computed=9, calibration=str(file))
    assert schedules(there)["9 computed"] == evenly(9, 28)
    assert "guidance_embeds was True and is False" in there.notes[0]


def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(Refused, match="is no calibration that teacache wrote"):
        found(tmp_path, method="schedule", computed=9, calibration=str(tmp_path / "c.json"))


def test_a_method_that_the_model_can_not_take_is_left_out_and_told(tmp_path: Path) -> None:
    model = Model(pipeline=str(tiny_video.save(tmp_path / "video")))
    there = applicable(model, Output(url=str(tmp_path)), 10, ())
    assert {each.method for each in there.settings} == {"fewer steps", "adaptive", "schedule"}
    notes = "\n".join(there.notes)
    assert "teacache: left out: CoefficientsError: no coefficients are published" in notes
    assert "schedule: evenly spaced steps, for there is no calibration" in notes


def test_methods_may_be_chosen(tmp_path: Path) -> None:
    there = found(tmp_path, only=("adaptive",))
    assert {each.method for each in there.settings} == {"fewer steps", "adaptive"}
