"""The manifest: rows to `manifest/*.parquet` and `failed/*.parquet`, a file per batch, and back."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs import storage
from jobs.ids import digests
from jobs.paths import Output, table_name
from jobs.rows import Written, strings, table


def write_batch(rows: pa.Table, output: Output) -> pa.Table:
    """Make a batch durable: the rows done in one file, those failed in another. Gives one row of counts."""
    succeeded = pc.equal(rows["error"], pa.scalar(""))
    done, failed = rows.filter(succeeded), rows.filter(pc.invert(succeeded))
    _write(done, output.manifest)
    _write(failed, output.failed)
    steps, computed = (pc.sum(done[name]).as_py() or 0 for name in ("steps", "computed"))
    made: datetime = pc.max(rows["created_at"]).as_py()
    delay = max(0.0, (datetime.now(timezone.utc) - made).total_seconds())
    written = Written(done=len(done), failed=len(failed), steps=steps, computed=computed, delay=delay)
    return table(Written, [written])


def read_batches(output: Output, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All rows so far, done and failed, a bounded number at a time."""
    for folder in (output.manifest, output.failed):
        fs, path = storage.open_url(folder)
        if fs.isdir(path):
            rows = pyarrow.dataset.dataset(path, filesystem=fs, format="parquet")
            yield from rows.to_batches(columns=list(columns))


def tried_ids(output: Output, model: str) -> NDArray[np.uint64]:
    """Digests of the ids that a model is through with, sorted. Failed rows count: they are tried again on request."""
    found = [np.empty(0, dtype=np.uint64)]
    for batch in read_batches(output, ["id", "model"]):
        mine = batch.filter(pc.equal(batch["model"], pa.scalar(model)))
        found.append(digests(strings(mine["id"])))
    return np.unique(np.concatenate(found))


def _write(rows: pa.Table, folder: str) -> None:
    if not rows.num_rows:
        return
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    name = table_name(strings(rows["model"])[0], strings(rows["id"]))
    storage.write(storage.join(folder, name), buffer.getvalue())
