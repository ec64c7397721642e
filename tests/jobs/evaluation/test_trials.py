"""The actor without Ray, with the packaged model: a few steps of two prompts."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from jobs.config.cache import Cache
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.evaluation.settings import Setting
from jobs.evaluation.trials import Course, Evaluate, Trial, lacking_to, read
from jobs.rows import Sample, Written

STEPS = 4
SAMPLE = Sample(id="a", prompt="a red ring", negative_prompt=None, seed=5, height=64, width=64, num_frames=None,
                num_inference_steps=STEPS, guidance_scale=3.5)  # fmt: skip
BATCH = [SAMPLE, replace(SAMPLE, id="b", prompt="a blue square", seed=6)]


def setting(**cache: object) -> Setting:
    return Setting(method="m", label=str(cache), cache=Cache.model_validate(cache), num_inference_steps=STEPS)


ALL = setting(method="schedule", steps=list(range(STEPS)))
HALF = setting(method="schedule", steps=[0, STEPS - 1])
FEWER = replace(setting(method="none"), num_inference_steps=2)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(
        model=Model(pipeline="demo/flux", dtype="float32"),
        generation=Generation(num_inference_steps=STEPS, width=64, height=64, max_sequence_length=16),  # type: ignore[call-arg]
        actors=Actors(num_gpus=0.0),
        settings=[ALL, HALF, FEWER],
        parts={"a": "choose", "b": "confirm"},
        identity={"dtype": "float32"},
        folder=str(tmp_path_factory.mktemp("trials")),
        storage_options={},
    )


def tell(blocks: Iterator[pa.Table]) -> list[Written]:
    return [Written(**row) for block in blocks for row in block.to_pylist()]


@pytest.fixture(scope="module")
def rows(course: Course) -> list[list[Trial]]:
    told = tell(Evaluate(course)(pa.Table.from_pylist([lacking_to(BATCH, [0, 1, 2])])))
    assert [(each.done, each.failed) for each in told] == [(2, 0)] * 3
    assert [(each.steps, each.computed) for each in told] == [(8, 8), (8, 4), (8, 4)]
    return [read(course.place(each, BATCH)) for each in course.settings]


def test_a_setting_that_computes_every_step_is_its_twin(rows: list[list[Trial]]) -> None:
    assert [row.psnr for row in rows[0]] == [100.0] * 2
    assert [row.ssim for row in rows[0]] == pytest.approx([1.0] * 2)
    assert [(row.id, row.part, row.seed) for row in rows[0]] == [("a", "choose", 5), ("b", "confirm", 6)]


def test_what_computes_less_costs_less_and_is_less_near(rows: list[list[Trial]]) -> None:
    for row in rows[1] + rows[2]:
        assert (row.computed, row.baseline_steps) == (2, STEPS)
        assert row.psnr is not None
        assert 5 < row.psnr < 60
        assert row.seconds is not None
        assert row.baseline_seconds is not None
    assert {row.num_inference_steps for row in rows[2]} == {2}
    # Skipping is not the same as asking for fewer steps.
    assert rows[1][0].psnr != rows[2][0].psnr


def test_rows_of_one_call_share_its_name(rows: list[list[Trial]]) -> None:
    assert len({row.batch for each in rows for row in each}) == 1
    assert {row.batch_size for each in rows for row in each} == {2}


def test_a_place_depends_on_all_that_the_pictures_do(course: Course) -> None:
    places = [
        course.place(ALL, BATCH),
        course.place(HALF, BATCH),
        course.place(replace(ALL, num_inference_steps=5), BATCH),
        course.place(ALL, BATCH[:1]),
        course.place(ALL, [replace(BATCH[0], seed=9), BATCH[1]]),
        course.place(ALL, [replace(BATCH[0], prompt="another"), BATCH[1]]),
        replace(course, identity={"dtype": "bfloat16"}).place(ALL, BATCH),
    ]
    assert len(set(places)) == len(places)
    # A label is for people.
    assert course.place(replace(ALL, label="other"), BATCH) == places[0]


def test_a_prompt_that_fails_is_a_row_with_its_error(course: Course) -> None:
    bad = [replace(SAMPLE, id="a", height=50)]  # FLUX makes multiples of 16
    told = tell(Evaluate(course)(pa.Table.from_pylist([lacking_to(bad, [1])])))
    assert [(each.done, each.failed) for each in told] == [(0, 1)]
    (row,) = read(course.place(HALF, bad))
    assert row.error.startswith("uncached: ValueError: asked for height 50")
    assert (row.psnr, row.seconds) == (None, None)


def test_what_was_not_tried_has_no_rows(course: Course) -> None:
    assert read(course.place(setting(method="none"), BATCH)) == []
