"""Several samples of one prompt: each a row of its own, with an id and a seed of its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from jobs.ids import SEED_BITS
from jobs.rows import strings


def sampled(prompts: pa.Table, samples: int) -> pa.Table:
    """Each row so many times. The first keeps id and seed, so that asking for more later only adds rows.

    Sample k of row `fox` is `fox-k`. Its seed derives from that id as any row's does; where the prompt brings a
    seed, it is that plus k.
    """
    if samples == 1:
        return prompts
    rows = prompts.take(np.repeat(np.arange(len(prompts)), samples))
    numbers = np.tile(np.arange(samples), len(prompts)).tolist()
    ids = [f"{row_id}-{k}" if k else row_id for row_id, k in zip(strings(rows["id"]), numbers, strict=True)]
    seeds = [
        None if seed is None else (seed + k) % 2**SEED_BITS
        for seed, k in zip(rows["seed"].to_pylist(), numbers, strict=True)
    ]
    changed = {"id": pa.array(ids, pa.string()), "seed": pa.array(seeds, pa.int64())}
    return pa.table({name: changed.get(name, rows[name]) for name in rows.column_names})
