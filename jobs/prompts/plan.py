"""From prompts to batches of samples: rows that are not wanted left out, seeds and settings filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.config.job import Generation
from jobs.ids import contains, digests, fingerprints, seed_for
from jobs.rows import Sample, schema, strings

Digests = NDArray[np.uint64]


def wanted(prompts: pa.Table, pending: Digests) -> pa.Table:
    """The prompts whose ids are among those pending, which are sorted."""
    return prompts.filter(pa.array(contains(pending, digests(strings(prompts["id"])))))


def fill(prompts: pa.Table, generation: Generation, accepted: frozenset[str], job_seed: int) -> pa.Table:
    """Samples: what a row doesn't say comes from the job; what the pipeline doesn't take stays null."""
    seeds = [
        seed_for(job_seed, row_id) if seed is None else seed
        for row_id, seed in zip(strings(prompts["id"]), prompts["seed"].to_pylist(), strict=True)
    ]
    columns = {
        "id": prompts["id"],
        "prompt": prompts["prompt"],
        "seed": pa.array(seeds, pa.int64()),
        "fingerprint": pa.array(fingerprints(prompts).view(np.int64)),
    }
    settings = generation.model_dump()
    for field in schema(Sample):
        if field.name in columns:
            continue
        default = settings.get(field.name) if field.name in accepted else None
        column = prompts[field.name] if field.name in prompts.column_names else pa.nulls(len(seeds), field.type)
        columns[field.name] = column if default is None else pc.fill_null(column, pa.scalar(default, field.type))
    return pa.table(columns, schema=schema(Sample))


def samples(tables: Iterable[pa.Table]) -> Iterator[Sample]:
    for rows in tables:
        for row in rows.to_pylist():
            yield Sample(**row)
