"""Batches: rows that share a pipeline call, on their way through Ray as one row with a table inside.

So a batch is what its planner made it, whatever Ray does with blocks: no order has to be kept for that, and one slow
batch holds up no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from jobs.rows import Batch, Sample, schema


def form(samples: Iterable[Sample], batch_size: int) -> Iterator[list[Sample]]:
    """Bring samples together that can share a pipeline call; only the last batch of each kind may be smaller."""
    waiting: dict[tuple[object, ...], list[Sample]] = {}
    for sample in samples:
        alike = waiting.setdefault(sample.call, [])
        alike.append(sample)
        if len(alike) == batch_size:
            yield waiting.pop(sample.call)
    yield from waiting.values()


def packed(rows: pa.Table) -> pa.Table:
    """A table as one row. Its bytes are copied once: pixels of a video are many."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return _block(sink.getvalue(), "")


def ending(reason: str) -> pa.Table:
    """A batch that holds no rows but the reason why the job must end."""
    return _block(pa.py_buffer(b""), reason)


def unpacked(block: pa.Table) -> tuple[pa.Table, str]:
    """The table inside, and why the job must end, if it must; then the table is empty."""
    reason: str = block["ended"][0].as_py()
    rows = pa.table({}) if reason else pa.ipc.open_stream(block["rows"][0].as_buffer()).read_all()
    return rows, reason


def _block(content: pa.Buffer, reason: str) -> pa.Table:
    ends = pa.py_buffer(np.array([0, content.size], dtype=np.int64).tobytes())
    rows = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, content])
    return pa.table([rows, pa.array([reason])], schema=schema(Batch))
