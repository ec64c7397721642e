from typing import Any

import numpy as np
import pyarrow as pa

from jobs.config import Generation
from jobs.ids import digests, seed_for
from jobs.plan import fill, pending
from jobs.prompts import COLUMNS
from jobs.rows import Sample, schema

GENERATION = Generation(num_inference_steps=28, height=64, width=32, guidance_scale=2.0, negative_prompt="blur")
ALL = frozenset({"height", "width", "num_inference_steps", "guidance_scale", "negative_prompt"})


def prompts(**columns: list[object]) -> pa.Table:
    filled: dict[str, list[Any]] = {"id": ["a", "b", "c"], "prompt": ["x", "y", "z"], **columns}
    return pa.table({name: pa.array(filled.get(name, [None] * 3), kind) for name, kind in COLUMNS.items()})


def test_what_a_row_does_not_say_comes_from_the_job() -> None:
    samples = fill(prompts(height=[96, None, None], guidance_scale=[None, 1.0, None]), GENERATION, ALL, 0)
    assert samples.schema == schema(Sample)
    assert samples["height"].to_pylist() == [96, 64, 64]
    assert samples["width"].to_pylist() == [32, 32, 32]
    assert samples["guidance_scale"].to_pylist() == [2.0, 1.0, 2.0]
    assert samples["negative_prompt"].to_pylist() == ["blur", "blur", "blur"]
    assert samples["num_frames"].to_pylist() == [None, None, None]


def test_what_the_pipeline_does_not_take_stays_empty() -> None:
    samples = fill(prompts(), GENERATION, ALL - {"guidance_scale", "negative_prompt"}, 0)
    assert samples["guidance_scale"].to_pylist() == [None, None, None]
    assert samples["negative_prompt"].to_pylist() == [None, None, None]


def test_a_row_keeps_its_own_seed_and_gets_one_otherwise() -> None:
    seeds = fill(prompts(seed=[5, None, 0]), GENERATION, ALL, 3)["seed"].to_pylist()
    assert seeds == [5, seed_for(3, "b"), 0]


def test_rows_that_are_done_are_left_out() -> None:
    assert pending(prompts(), np.sort(digests(["b", "other"])))["id"].to_pylist() == ["a", "c"]
    assert pending(prompts(), digests([]))["id"].to_pylist() == ["a", "b", "c"]
    assert pending(prompts(), np.sort(digests(["a", "b", "c"])))["id"].to_pylist() == []
