"""The manifest: rows to `manifest/*.parquet` and `failed/*.parquet`, a file per batch, and back."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from jobs import storage
from jobs.errors import Refused, describe, redact
from jobs.ids import digests
from jobs.paths import Output, table_name
from jobs.rows import Row, Written, schema, strings, table


def write_batch(rows: pa.Table, output: Output) -> pa.Table:
    """Make a batch durable: the rows done in one file, those failed in another. Gives one row of counts."""
    succeeded = pc.equal(rows["error"], pa.scalar(""))
    done, failed = rows.filter(succeeded), rows.filter(pc.invert(succeeded))
    _write(done, output.manifest)
    _write(failed, output.failed)
    steps, computed = (pc.sum(done[name]).as_py() or 0 for name in ("steps", "computed"))
    made: datetime = pc.max(rows["created_at"]).as_py()
    delay = max(0.0, (datetime.now(timezone.utc) - made).total_seconds())
    audited = done.filter(pc.is_valid(done["baseline_seconds"]))
    written = Written(
        done=len(done),
        failed=len(failed),
        steps=steps,
        computed=computed,
        delay=delay,
        errors=tuple(error.partition(":")[0] for error in strings(failed["error"])),
        audited_seconds=pc.sum(audited["seconds"]).as_py() or 0.0,
        baseline_seconds=pc.sum(audited["baseline_seconds"]).as_py() or 0.0,
    )
    return table(Written, [written])


def read_batches(output: Output, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All rows so far, done and failed, a bounded number at a time. Raises Refused, naming a file that is not ours."""
    for folder in (output.manifest, output.failed):
        fs, paths = _files(folder)
        if not paths:
            continue
        rows = pyarrow.dataset.dataset(paths, filesystem=fs, format="parquet", schema=schema(Row))
        try:
            for batch in rows.to_batches(columns=list(columns)):
                # Columns that a file lacks are read as null.
                if any(batch[name].null_count for name in {"id", "model"} & set(columns)):
                    raise pa.ArrowInvalid("rows without id or model")
                yield batch
        except (pa.ArrowException, OSError) as error:
            raise Refused(
                f"output: {redact(_culprit(fs, paths, columns) or folder)} can't be read as part of the manifest: "
                f"{describe(error)}; move it away"
            ) from None


def holds_rows(output: Output) -> bool:
    return any(_files(folder)[1] for folder in (output.manifest, output.failed))


def _files(folder: str) -> tuple[AbstractFileSystem, list[str]]:
    """The Parquet files of a folder, none if it isn't there; unfinished ones have other names."""
    fs, path = storage.open_url(folder)
    names = fs.ls(path, detail=False, refresh=True) if fs.isdir(path) else []
    return fs, sorted(name for name in names if name.endswith(".parquet") and not posixpath.basename(name)[0] == ".")


def _culprit(fs: AbstractFileSystem, paths: Sequence[str], columns: Sequence[str]) -> str | None:
    """The first file that can't be read. The scan, which reads many at a time, doesn't always say."""
    for path in paths:
        try:
            with fs.open(path, "rb") as file:
                rows = pq.read_table(file, columns=list(columns))
            rows.cast(pa.schema([schema(Row).field(name) for name in columns]))
        except (ValueError, KeyError, OSError, pa.ArrowException):
            return path
    return None


def tried_ids(output: Output, model: str) -> NDArray[np.uint64]:
    """Digests of the ids that a model is through with, sorted. Failed rows count: they are not tried again."""
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
