from typing import Any

import numpy as np
import pyarrow as pa

from jobs.config.job import Generation
from jobs.ids import digests, seed_for
from jobs.prompts.plan import fill, samples, wanted
from jobs.prompts.shards import COLUMNS
from jobs.rows import Sample, schema

GENERATION = Generation(num_inference_steps=28, height=64, width=32, guidance_scale=2.0, negative_prompt="blur")
ALL = frozenset({"height", "width", "num_inference_steps", "guidance_scale", "negative_prompt"})


def prompts(**columns: list[object]) -> pa.Table:
    filled: dict[str, list[Any]] = {"id": ["a", "b", "c"], "prompt": ["x", "y", "z"], **columns}
    return pa.table({name: pa.array(filled.get(name, [None] * 3), kind) for name, kind in COLUMNS.items()})


def test_what_a_row_does_not_say_comes_from_the_job() -> None:
    filled = fill(prompts(height=[96, None, None], guidance_scale=[None, 1.0, None]), GENERATION, ALL, 0)
    assert filled.schema == schema(Sample)
    assert filled["height"].to_pylist() == [96, 64, 64]
    assert filled["width"].to_pylist() == [32, 32, 32]
    assert filled["guidance_scale"].to_pylist() == [2.0, 1.0, 2.0]
    assert filled["negative_prompt"].to_pylist() == ["blur", "blur", "blur"]
    assert filled["num_frames"].to_pylist() == [None, None, None]


def test_what_the_pipeline_does_not_take_stays_empty() -> None:
    filled = fill(prompts(), GENERATION, ALL - {"guidance_scale", "negative_prompt"}, 0)
    assert filled["guidance_scale"].to_pylist() == [None, None, None]
    assert filled["negative_prompt"].to_pylist() == [None, None, None]


def test_a_row_keeps_its_own_seed_and_gets_one_otherwise() -> None:
    seeds = fill(prompts(seed=[5, None, 0]), GENERATION, ALL, 3)["seed"].to_pylist()
    assert seeds == [5, seed_for(3, "b"), 0]


def test_only_pending_rows_are_wanted() -> None:
    assert wanted(prompts(), np.sort(digests(["a", "c", "other"])))["id"].to_pylist() == ["a", "c"]
    assert wanted(prompts(), digests([]))["id"].to_pylist() == []
    assert wanted(prompts(), np.sort(digests(["a", "b", "c"])))["id"].to_pylist() == ["a", "b", "c"]


def test_samples_say_by_their_fingerprints_what_their_rows_said() -> None:
    plain = fill(prompts(), GENERATION, ALL, 0)["fingerprint"].to_pylist()
    assert len(set(plain)) == 3
    assert [sample.fingerprint for sample in samples([fill(prompts(), GENERATION, ALL, 0)])] == plain
    edited = fill(prompts(negative_prompt=[None, "ink", None]), GENERATION, ALL, 0)["fingerprint"].to_pylist()
    assert [one == other for one, other in zip(plain, edited, strict=True)] == [True, False, True]
