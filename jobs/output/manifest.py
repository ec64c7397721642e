"""The manifest: rows to `manifest/*.parquet` and `failed/*.parquet`, a file per batch, and back. A row counts once."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from jobs import storage
from jobs.errors import Refused, describe, redact
from jobs.ids import contains, digests
from jobs.paths import Output, table_name
from jobs.rows import Row, Written, schema, strings


def write_batch(rows: pa.Table, output: Output) -> Written:
    """Make a batch durable: the rows done in one file, those failed in another."""
    succeeded = pc.equal(rows["error"], pa.scalar(""))
    done, failed = rows.filter(succeeded), rows.filter(pc.invert(succeeded))
    for part, folder in ((done, output.manifest), (failed, output.failed)):
        if part.num_rows:
            name = table_name(strings(part["model"])[0], strings(part["id"]))
            write_rows(part, storage.join(folder, name))
    steps, computed = (pc.sum(done[name]).as_py() or 0 for name in ("steps", "computed"))
    made: datetime = pc.max(rows["created_at"]).as_py()
    audited = done.filter(pc.is_valid(done["baseline_seconds"]))
    return Written(
        done=len(done),
        failed=len(failed),
        steps=steps,
        computed=computed,
        delay=max(0.0, (datetime.now(timezone.utc) - made).total_seconds()),
        errors=tuple(error.partition(":")[0] for error in strings(failed["error"])),
        audited_seconds=pc.sum(audited["seconds"]).as_py() or 0.0,
        baseline_seconds=pc.sum(audited["baseline_seconds"]).as_py() or 0.0,
        unstored=sum(error.startswith(storage.WriteFailed.__name__) for error in strings(failed["error"])),
    )


def write_rows(rows: pa.Table, url: str) -> None:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    storage.write(url, buffer.getvalue())


def read_batches(output: Output, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All rows so far, done and failed, a bounded number at a time, each row once. Raises Refused, naming a bad file.

    A row can stand in two files where a merge was cut short, or where a killed run's worker came late. Then it
    counts as done if it is so in either, and as it was made last.
    """
    repeated, latest = _latest_of_repeated(output)
    if not latest:
        for _, batch in _scan(output, columns):
            yield batch
        return
    wanted = list(dict.fromkeys([*columns, *_KEY, "created_at"]))
    for failed, batch in _scan(output, wanted):
        yield batch.filter(pa.array(_counts(repeated, latest, failed, batch))).select(list(columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The rows that a model is through with: digests of their ids, sorted, and what was made for each."""

    ids: NDArray[np.uint64]
    fingerprints: NDArray[np.uint64]
    failed: NDArray[np.bool_]


def tried(output: Output, model: str, before: NDArray[np.uint64] | None = None) -> Tried:
    """Failed rows count: they are not tried again unasked. Those of `before`, which are tried again, do not."""
    ids, prints, failed = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    again = before is not None and len(before) > 0
    for batch in read_batches(output, ["id", "model", "fingerprint", "error", *(["created_at"] if again else [])]):
        mine = batch.filter(pc.equal(batch["model"], pa.scalar(model)))
        if before is not None and again:
            mine = mine.filter(pa.array(~contains(before, _copies(mine))))
        ids.append(digests(strings(mine["id"])))
        prints.append(np.asarray(mine["fingerprint"].fill_null(0).to_numpy(zero_copy_only=False)).view(np.uint64))
        failed.append(np.asarray(pc.not_equal(mine["error"], pa.scalar("")).to_numpy(zero_copy_only=False), np.bool_))
    every = _joined(ids)
    order = np.argsort(every)
    every = every[order]
    return Tried(ids=every, fingerprints=_joined(prints)[order], failed=_joined(failed)[order])


def failures(output: Output, model: str, ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Which failures of these rows, by sorted digests of their ids, are known by now: digests of row and time."""
    found = [np.empty(0, np.uint64)]
    for failed, batch in _scan(output, [*_KEY, "created_at"]):
        if failed:
            mine = batch.filter(pc.equal(batch["model"], pa.scalar(model)))
            found.append(_copies(mine)[contains(ids, digests(strings(mine["id"])))])
    return np.sort(_joined(found))


def _copies(rows: pa.RecordBatch) -> NDArray[np.uint64]:
    """What tells apart what was noted of one row at one time and at another."""
    made: list[Any] = rows["created_at"].to_pylist()
    return digests(f"{at}\0{row_id}" for at, row_id in zip(made, strings(rows["id"]), strict=True))


def _joined(parts: list[Any]) -> Any:
    """One array of them all, which takes their place in memory."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def drop_repeated(output: Output) -> None:
    """Leave, of a row that stands in several places, the copy that counts: whoever else reads the files counts all.

    So it is with a failed row that was tried again, and after kills: see read_batches. Of equal copies the one in the
    largest file stays: where a killed run's merge still goes on, that is the merged file, and its parts go.
    """
    repeated, latest = _latest_of_repeated(output)
    for folder in (output.manifest, output.failed) if latest else ():
        for url, _ in sorted(sizes(folder), key=lambda found: -found[1]):
            content = storage.read(url)
            if content is None:  # such a merge took it
                continue
            keep = _counts(repeated, latest, folder == output.failed, _table(content, [*_KEY, "created_at"]))
            if not keep.any():
                storage.remove(url)
            elif not keep.all():
                write_rows(_table(content, schema(Row).names).filter(pa.array(keep)), url)


def _table(content: bytes, columns: Sequence[str]) -> pa.Table:
    wanted = pa.schema([schema(Row).field(name) for name in columns])
    return pq.read_table(io.BytesIO(content), columns=list(columns), schema=wanted)


def holds_rows(output: Output) -> bool:
    return any(_files(folder)[1] for folder in (output.manifest, output.failed))


def files(folder: str) -> list[str]:
    """The URLs of a folder's Parquet files."""
    fs, paths = _files(folder)
    return [str(fs.unstrip_protocol(path)) for path in paths]


def sizes(folder: str) -> list[tuple[str, int]]:
    """The same with their sizes in bytes, 0 for one that is gone by now."""
    fs, path = storage.open_url(folder)
    found = {entry["name"]: entry["size"] for entry in fs.ls(path, detail=True, refresh=True)} if fs.isdir(path) else {}
    return [(url, found.get(storage.open_url(url)[1], 0)) for url in files(folder)]


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


_KEY = ("model", "id")


def _scan(output: Output, columns: Sequence[str]) -> Iterator[tuple[bool, pa.RecordBatch]]:
    """Every row of every file, with whether it lies among the failed."""
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
                yield folder == output.failed, batch
        except (pa.ArrowException, OSError) as error:
            raise Refused(
                f"output: {redact(_culprit(fs, paths, columns) or folder)} can't be read as part of the manifest: "
                f"{describe(error)}; move it away"
            ) from None


_Rank = tuple[bool, datetime]


def _latest_of_repeated(output: Output) -> tuple[NDArray[np.uint64], dict[int, _Rank | None]]:
    """The rows that stand in more than one place, sorted, and of each the rank of the copy that counts: mostly none
    does."""
    every = _joined([np.empty(0, np.uint64), *(_keys(batch) for _, batch in _scan(output, _KEY))])
    every.sort()
    repeated = np.unique(every[1:][every[1:] == every[:-1]])
    latest: dict[int, _Rank | None] = {}
    if not len(repeated):
        return repeated, latest
    for failed, batch in _scan(output, [*_KEY, "created_at"]):
        again = pa.array(contains(repeated, _keys(batch)))
        for key, rank in _ranked(failed, batch.filter(again)):
            latest[key] = max(latest.get(key) or rank, rank)
    return repeated, latest


def _counts(
    repeated: NDArray[np.uint64], latest: dict[int, _Rank | None], failed: bool, batch: pa.RecordBatch | pa.Table
) -> NDArray[np.bool_]:
    """Which rows are the copies that count. Few are repeated, so only those are looked at one by one."""
    again = contains(repeated, _keys(batch))
    keep = ~again
    if again.any():
        keep[again] = [_take(latest, key, rank) for key, rank in _ranked(failed, batch.filter(pa.array(again)))]
    return keep


def _ranked(failed: bool, batch: pa.RecordBatch | pa.Table) -> Iterator[tuple[int, _Rank]]:
    created: list[Any] = batch["created_at"].to_pylist()
    for key, made in zip(_keys(batch).tolist(), created, strict=True):
        yield key, (not failed, made)


def _take(latest: dict[int, _Rank | None], key: int, rank: _Rank) -> bool:
    """Whether this copy counts; of equal ones only the first does."""
    if latest[key] != rank:
        return False
    latest[key] = None
    return True


def _keys(batch: pa.RecordBatch | pa.Table) -> NDArray[np.uint64]:
    return digests(f"{model}\0{row_id}" for model, row_id in zip(*(strings(batch[name]) for name in _KEY), strict=True))
