"""What follows from a row id alone: its digest and its seed. The same on every machine, in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SEED_BITS = 32
"""What torch's generator on the CPU tells apart: of a larger seed it uses these bits only."""

_FRACTION_BITS = 53
_AT_ONCE = 2**18


def seed_for(job_seed: int, row_id: str) -> int:
    """The seed of a row that brings none: the first 32 bits of sha256 over job seed and id.

    Rows may share a seed by chance, from some 77,000 rows on more likely than not: the same noise, other prompts.
    """
    return int.from_bytes(_sha256(f"seed:{job_seed}:{row_id}")[: SEED_BITS // 8], "big")


def fraction_for(purpose: str, row_id: str) -> float:
    """A number in [0, 1) that stands for the row, evenly spread: rows below f are a fair sample of share f."""
    bits = int.from_bytes(_sha256(f"{purpose}:{row_id}")[:8], "big") >> (64 - _FRACTION_BITS)
    return float(bits / 2**_FRACTION_BITS)


def digests(ids: Iterable[str]) -> NDArray[np.uint64]:
    """Eight bytes per id. Ids that share one are refused as duplicates when a job starts, so none is mistaken later.

    Among ten million ids that happens by chance once in 400,000 jobs.
    """
    packed = b"".join(hashlib.blake2b(row_id.encode(), digest_size=8).digest() for row_id in ids)
    return np.frombuffer(packed, dtype=np.uint64)


def fingerprints(prompts: pa.Table) -> NDArray[np.uint64]:
    """Eight bytes per row over all that it says but its id: rows of one id that differ here are not the same.

    Columns without a value count for nothing, so a shard may gain such a column.
    """
    text = pa.large_string()
    texts: Any = pa.array([""] * prompts.num_rows, text)
    end, nothing = pa.scalar("\0", text), pa.scalar("", text)
    for name in sorted(set(prompts.column_names) - {"id"}):
        column: Any = prompts[name].combine_chunks().cast(text)
        marked = pc.binary_join_element_wise(pa.scalar(f"{name}=", text), column, end, nothing)
        texts = pc.binary_join_element_wise(texts, pc.fill_null(marked, nothing), nothing)
    return digests(texts.to_pylist())


def contains(ordered: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of the wanted digests are among the ordered ones."""
    return np.equal(looked_up(ordered, ordered, wanted), wanted) if len(ordered) else np.zeros(len(wanted), np.bool_)


def looked_up(ordered: NDArray[np.uint64], said: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """What stands in `said` at the place of each wanted digest, anything where it is not among the ordered ones.

    Of those there is one at least. Works through a part at a time: what it holds beside its answer is small.
    """
    answer = np.empty_like(wanted)
    for start in range(0, len(wanted), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        answer[part] = said[np.minimum(np.searchsorted(ordered, wanted[part]), len(ordered) - 1)]
    return answer


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
