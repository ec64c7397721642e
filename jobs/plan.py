"""From prompts to samples: seeds and settings filled in, rows that are done left out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.config import Generation
from jobs.ids import contains, digests, seed_for
from jobs.rows import Sample, schema, strings

Digests = NDArray[np.uint64]


def pending(prompts: pa.Table, done: Digests) -> pa.Table:
    """The prompts whose ids are not among those done."""
    return prompts.filter(pa.array(~contains(done, digests(strings(prompts["id"])))))


def fill(prompts: pa.Table, generation: Generation, accepted: frozenset[str], job_seed: int) -> pa.Table:
    """Samples: what a row doesn't say comes from the job; what the pipeline doesn't take stays null."""
    seeds = [
        seed_for(job_seed, row_id) if seed is None else seed
        for row_id, seed in zip(strings(prompts["id"]), prompts["seed"].to_pylist(), strict=True)
    ]
    columns = {"id": prompts["id"], "prompt": prompts["prompt"], "seed": pa.array(seeds, pa.int64())}
    settings = generation.model_dump()
    for field in schema(Sample):
        if field.name in columns:
            continue
        default = settings.get(field.name) if field.name in accepted else None
        column = prompts[field.name] if field.name in prompts.column_names else pa.nulls(len(seeds), field.type)
        columns[field.name] = column if default is None else pc.fill_null(column, pa.scalar(default, field.type))
    return pa.table(columns, schema=schema(Sample))
