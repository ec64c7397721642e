"""The actor on the packaged model, without Ray: a few steps of 64 x 64."""

import json
from typing import Any

import pyarrow as pa
import pytest
import torch

from jobs.accounting.audit import uncached_first
from jobs.actors import loading
from jobs.actors.generate import Generate, alike
from jobs.config.cache import Cache
from jobs.config.job import Actors, Generation
from jobs.config.model import Model
from jobs.errors import DeviceLost, JobFailed
from jobs.rows import Made, Sample, schema, table, values
from jobs.runs import Tags
from tests.jobs import fakes, tiny_video
from tests.jobs.conftest import MODEL
from tests.jobs.test_rows import made

PROMPT = "a small red circle at the left on a blue background"


def sample(row_id: str, **changes: object) -> Sample:
    fields: dict[str, object] = {"prompt": PROMPT, "height": 64, "width": 64, "num_inference_steps": 4}
    return Sample(**values(made(id=row_id, **{**fields, **changes}), Sample))


def actor(audit_fraction: float = 0.0, exact: bool = False, **model: object) -> Generate:
    return Generate(
        model=Model.model_validate({**MODEL, **model}),
        generation=Generation.model_validate({"max_sequence_length": 16}),
        actors=Actors(num_gpus=0, num_cpus=1, exact=exact),
        audit_fraction=audit_fraction,
    )


@pytest.fixture(scope="module")
def plain() -> Generate:
    return actor()


def rows_of(generate: Generate, *samples: Sample) -> list[Made]:
    rows = generate(table(Sample, samples))
    assert rows.schema == schema(Made)
    return [Made(**row) for row in rows.to_pylist()]


def test_a_batch_becomes_rows_in_its_order(plain: Generate) -> None:
    rows = rows_of(plain, *(sample(str(index), seed=index) for index in range(3)))
    assert [row.id for row in rows] == ["0", "1", "2"]
    assert len({row.pixels for row in rows}) == 3
    for row in rows:
        assert row.pixels is not None
        assert len(row.pixels) == 64 * 64 * 3
        assert (row.error, row.model, row.batch_size, row.steps) == ("", "flux", 3, 4)
        assert row.computed == 2
        assert row.computed_mask == "1001"
        assert 0 < (row.denoise_seconds or 0) < (row.seconds or 0)
        assert (row.baseline_seconds, row.baseline_pixels) == (None, None)
    assert len({row.batch for row in rows}) == 1
    assert json.loads(rows[0].cache)["coefficients"] == [0.0]
    assert json.loads(rows[0].versions)["torch"]


def test_rows_of_a_kind_run_together_and_others_apart(plain: Generate) -> None:
    mixed = [
        sample("a"),
        sample("b", height=96),
        sample("c"),
        sample("d", num_inference_steps=2),
        sample("e", guidance_scale=1.0),
        sample("f", height=96),
    ]
    rows = rows_of(plain, *mixed)
    assert [(row.id, row.batch_size) for row in rows] == [("a", 2), ("b", 2), ("c", 2), ("d", 1), ("e", 1), ("f", 2)]
    assert [len(row.pixels or b"") for row in rows] == [64 * height * 3 for height in (64, 96, 64, 64, 64, 96)]
    assert [row.steps for row in rows] == [4, 4, 4, 2, 4, 4]


def test_a_row_that_raises_fails_alone(plain: Generate) -> None:
    rows = rows_of(plain, sample("a"), sample("b", prompt=None), sample("c"))
    assert [row.error for row in rows] == ["", "ValueError: the prompt is null", ""]
    assert [row.pixels is None for row in rows] == [False, True, False]
    assert rows_of(plain, sample("a"))[0].pixels == rows[0].pixels


OUT_OF_MEMORY = {
    "of a GPU": torch.OutOfMemoryError("CUDA out of memory"),
    "of the machine": MemoryError(),
    "of torch's allocator": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"),
}


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_where_memory_runs_out_batches_are_halved_and_the_size_that_worked_is_kept(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = fakes.FakePipeline(fits=2, error=error)
    monkeypatch.setattr(loading, "load", lambda *_: (pipeline, fakes.FakeCache()))
    generate = actor()
    rows = rows_of(generate, *(sample(str(number)) for number in range(8)))
    assert [(row.id, row.error, row.batch_size) for row in rows] == [(str(number), "", 2) for number in range(8)]
    assert pipeline.sizes == [8, 4, 2, 2, 2, 2]
    rows_of(generate, *(sample(str(number)) for number in range(5)))
    assert pipeline.sizes[6:] == [2, 2, 1]
    # Rows of another size may well fit.
    rows_of(generate, *(sample(str(number), height=32) for number in range(3)))
    assert pipeline.sizes[9:] == [3, 1, 1, 1]


def test_a_row_that_does_not_fit_on_its_own_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = fakes.FakePipeline(fits=0, error=OUT_OF_MEMORY["of a GPU"])
    monkeypatch.setattr(loading, "load", lambda *_: (pipeline, fakes.FakeCache()))
    rows = rows_of(actor(), sample("a"), sample("b"))
    assert [row.error for row in rows] == ["OutOfMemoryError: CUDA out of memory"] * 2
    assert pipeline.sizes == [2, 1, 1]


def test_a_gpu_that_is_lost_fails_no_other_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the process does next would fail too, so that it has to end."""
    lost = RuntimeError("CUDA error: device-side assert triggered")
    monkeypatch.setattr(loading, "load", lambda *_: (fakes.FakePipeline(fits=1, error=lost), fakes.FakeCache()))
    with pytest.raises(DeviceLost, match=r"^RuntimeError: CUDA error: device-side assert triggered$"):
        rows_of(actor(), sample("a"), sample("b"))


def test_a_size_that_the_pipeline_rounds_is_a_failed_row(plain: Generate) -> None:
    bad, good = rows_of(plain, sample("bad", height=50), sample("good"))
    assert bad.error.startswith(
        "ValueError: asked for height 50, width 64, the pipeline makes height 48, width 64; use n"
    )
    assert (good.error, good.batch_size) == ("", 1)


def test_a_picture_depends_on_its_own_seed_not_on_its_batchmates() -> None:
    uncached = actor(cache={"method": "none"})
    together = rows_of(uncached, *(sample(str(seed), seed=seed) for seed in (1, 2, 3)))
    (alone,) = rows_of(uncached, sample("3", seed=3))
    there, here = (row.pixels or b"" for row in (together[2], alone))
    # Kernels may round another way for another batch size: by one of 255 at most.
    assert max(abs(one - other) for one, other in zip(there, here, strict=True)) <= 1


@pytest.mark.parametrize("cache", [{"method": "none"}, {"method": "adaptive", "tolerance": 0.5}])
def test_exact_bytes_depend_on_no_other_row(cache: dict[str, Any]) -> None:
    generate = actor(exact=True, cache=cache)
    ids = ["1", "2", "3", "4", "5"]
    alone = {row_id: rows_of(generate, sample(row_id, seed=int(row_id)))[0] for row_id in ids}
    for order in (ids, ids[::-1], ids[2:], [*ids[3:], *ids[:2]]):
        for row in rows_of(actor(exact=True, cache=cache), *(sample(row_id, seed=int(row_id)) for row_id in order)):
            assert (row.pixels, row.computed_mask) == (alone[row.id].pixels, alone[row.id].computed_mask)
            assert row.batch_size == 1


def test_a_prompt_is_encoded_once(plain: Generate) -> None:
    before = plain._texts.encoded
    for _ in range(2):
        rows_of(plain, *(sample(row_id, prompt=prompt) for row_id, prompt in zip("abcd", "xyyx", strict=True)))
    # Two prompts, two encoders.
    assert plain._texts.encoded - before == 4


def test_audited_rows_come_with_their_uncached_twin() -> None:
    audited = actor(audit_fraction=1.0)
    rows = rows_of(audited, sample("a", seed=1), sample("b", seed=2))
    assert all(row.baseline_seconds and row.baseline_denoise_seconds and row.baseline_pixels for row in rows)
    assert all((row.steps, row.computed) == (4, 2) for row in rows)
    reference = rows_of(actor(cache={"method": "none"}), sample("a", seed=1), sample("b", seed=2))
    assert [row.baseline_pixels for row in rows] == [row.pixels for row in reference]
    # Afterwards the cache works as before.
    assert rows_of(audited, sample("a", seed=1), sample("b", seed=2))[0].pixels == rows[0].pixels


def test_an_actor_counts_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[Tags] = []
    monkeypatch.setattr("jobs.metrics.count_restart", starts.append)
    with pytest.raises(JobFailed, match="can't be loaded"):
        actor(pipeline="/nowhere")
    assert starts == [Tags(run="", model="nowhere")]


def test_what_is_measured_was_warmed_up_in_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    for share, shapes in ((0.0, [(64, 1)]), (1.0, [(64, 1), (96, 1), (64, 2)])):
        generate = actor(audit_fraction=share)
        pipeline = generate.pipeline

        def spied(pipeline: Any = pipeline, **arguments: Any) -> Any:
            if arguments["num_inference_steps"] == 2:
                calls.append((arguments["height"], len(arguments["prompt"])))
            return pipeline(**arguments)

        monkeypatch.setattr(generate, "pipeline", spied)
        for _ in range(2):
            for batch in ([sample("a")], [sample("b", height=96)], [sample("c"), sample("d")]):
                assert not any(row.error for row in rows_of(generate, *batch))
        assert calls == shapes
        calls.clear()


def test_a_schedule_for_its_number_of_steps_makes_pictures() -> None:
    """Also at the first call of all, which is warmed up by one of fewer steps."""
    cache = {"method": "schedule", "steps": [0, 3], "num_inference_steps": 4}
    (row,) = rows_of(actor(cache=cache), sample("a"))
    assert (row.error, row.computed_mask) == ("", "1001")


def test_one_pipeline_goes_on_with_another_cache(plain: Generate) -> None:
    own = rows_of(plain, sample("a"))[0]
    other = Cache.model_validate({"method": "schedule", "steps": [0, 1, 3]})
    with plain.cached_by(other):
        row = rows_of(plain, sample("a"))[0]
        assert (row.computed_mask, row.cache) == ("1101", other.to_json())
        encoded = plain._texts.encoded
    with plain.cached_by(Cache.model_validate(MODEL["cache"])):
        again = rows_of(plain, sample("a"))[0]
    assert (again.pixels, again.computed_mask, again.cache) == (own.pixels, own.computed_mask, own.cache)
    assert row.pixels != own.pixels
    assert plain._texts.encoded == encoded


def test_the_run_that_goes_first_makes_no_difference_to_the_pictures() -> None:
    generate = actor(audit_fraction=1.0)
    ids = [next(name for name in "abcdefgh" if uncached_first(name) is first) for first in (True, False)]
    one, other = (rows_of(generate, sample(row_id))[0] for row_id in ids)
    assert (one.pixels, one.baseline_pixels, one.computed) == (other.pixels, other.baseline_pixels, 2)


def test_a_model_that_cannot_be_loaded_is_told() -> None:
    with pytest.raises(JobFailed, match=r"can't be loaded: .*variant=nope"):
        actor(variant="nope")


def test_an_actor_that_asks_for_no_cpu_uses_one_all_the_same() -> None:
    generate = Generate(Model.model_validate(MODEL), Generation(), Actors(num_gpus=0, num_cpus=0), 0.0)
    assert generate._columns["num_cpus"] == 1.0


def test_without_a_cache_there_is_nothing_to_audit() -> None:
    (row,) = rows_of(actor(audit_fraction=1.0, cache={"method": "none"}), sample("a"))
    assert (row.baseline_seconds, row.steps, row.computed) == (None, 4, 4)


def test_alike_loses_no_sample() -> None:
    samples = [sample(str(index), height=(64, 96, 128)[index % 3]) for index in range(7)]
    groups = list(alike(samples))
    assert sorted(each.id for group in groups for each in group) == [str(index) for index in range(7)]
    assert all(len({each.call for each in group}) == 1 for group in groups)
    assert [len(group) for group in groups] in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


def test_videos_are_made_with_their_frames(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tiny_video.save(tmp_path_factory.mktemp("video"))
    generate = Generate(
        model=Model.model_validate({"pipeline": str(folder), "dtype": "float32", "cache": {"method": "none"}}),
        generation=Generation.model_validate({"max_sequence_length": tiny_video.TOKENS}),
        actors=Actors(num_gpus=0, num_cpus=1),
        audit_fraction=0.0,
    )
    shape = {"height": 16, "width": 16, "num_inference_steps": 2}
    own, same, longer, odd = rows_of(
        generate,
        *(sample(str(n), num_frames=n, **shape) for n in (None, tiny_video.FRAMES, 2 * tiny_video.FRAMES - 1, 7)),
    )
    assert [row.error for row in (own, same, longer)] == [""] * 3
    assert [row.num_frames for row in (own, same, longer)] == [9, 9, 17]
    assert [len(row.pixels or b"") for row in (own, longer)] == [9 * 16 * 16 * 3, 17 * 16 * 16 * 3]
    assert odd.error.startswith("ValueError: asked for num_frames 7, height 16, width 16, the pipeline makes num_f")


def test_an_empty_batch_is_an_empty_table(plain: Generate) -> None:
    assert plain(pa.Table.from_pylist([], schema=schema(Sample))).num_rows == 0
