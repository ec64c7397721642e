"""Where encoded media goes: a file each, WebDataset tar shards, or Parquet shards with the bytes inside; and back.

A shard holds one batch and is written whole before its manifest rows, so none is ever half there; what a killed run
wrote without rows is swept away by the next.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs import storage
from jobs.config.media import Media
from jobs.errors import Failure, attempt
from jobs.media.codecs import told
from jobs.media.formats import FORMATS
from jobs.output import manifest
from jobs.paths import SHARDS, Output
from jobs.rows import Row, Sample, schema, table


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A row on its way to storage, with the bytes of its media, none where it failed."""

    row: Row
    content: bytes | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    """What the manifest says of the media once it is stored."""


def store(files: Sequence[File], output: Output, media: Media, threads: Executor) -> list[Row]:
    """The rows, with URI and facts of their media once it is written, or the reason why not in `error`."""
    good = [file for file in files if file.content is not None]
    if media.layout == "files":
        places = list(threads.map(lambda file: attempt(lambda: _store_file(file, output, media)), good))
    else:
        shard = attempt(lambda: _store_shard(good, output, media)) if good else []
        places = [shard] * len(good) if isinstance(shard, Failure) else list(shard)
    stored = {file.row.id: _stored(file, place) for file, place in zip(good, places, strict=True)}
    return [stored.get(file.row.id, file.row) for file in files]


def load(uri: str, output: Output) -> bytes | None:
    """The bytes behind a URI of the manifest, also where the output was moved; None where there is no such file."""
    shard, inside = _parts(output.here(uri))
    if not inside:
        return storage.read(shard)
    fs, path = storage.open_url(shard)
    with fs.open(path, "rb") as file:
        if shard.endswith(SHARDS["webdataset"]):
            with tarfile.open(fileobj=file) as tar:
                found = tar.extractfile(inside)
                return found.read() if found else None
        rows = pq.ParquetFile(file).read(columns=["media.bytes"])
    content: bytes = rows["media"][int(inside)].as_py()["bytes"]
    return content


def sweep(output: Output) -> None:
    """Remove shards that no manifest row leads to: a run was killed before it noted them."""
    there = output.shards()
    if not there:
        return
    noted = {
        _parts(output.here(uri))[0]
        for batch in manifest.read_batches(output, ["uri"])
        for uri in batch["uri"].to_pylist()
        if uri
    }
    for shard in sorted(set(there) - noted):
        storage.remove(shard)


def _parts(uri: str) -> tuple[str, str]:
    """The file, and what leads to the media inside it: a tar's member, a Parquet file's row, or nothing."""
    member, chained, file = uri.rpartition("::")
    if chained:
        return file, member.removeprefix("tar://")
    file, numbered, row = uri.rpartition("#")
    return (file, row) if numbered and file.endswith(SHARDS["parquet"]) else (uri, "")


def _stored(file: File, place: str | Failure) -> Row:
    if isinstance(place, Failure):
        return replace(file.row, error=place.error, psnr=None, ssim=None, baseline_uri=None)
    return replace(file.row, uri=place, **file.facts)


def _store_file(file: File, output: Output, media: Media) -> str:
    assert file.content is not None
    url = output.media(file.row.model, file.row.id, f".{media.format}")
    storage.write(url, file.content)
    return storage.public(url)


def _store_shard(files: Sequence[File], output: Output, media: Media) -> list[str]:
    rows = [file.row for file in files]
    url = output.shard(rows[0].model, [row.id for row in rows], SHARDS[media.layout])
    names = [output.member(row.id, f".{media.format}") for row in rows]
    make = _tar if media.layout == "webdataset" else _parquet
    storage.write(url, make(files, names, media))
    place = storage.public(url)
    if media.layout == "webdataset":
        return [f"tar://{name}::{place}" for name in names]
    return [f"{place}#{number}" for number in range(len(rows))]


def _tar(files: Sequence[File], names: Sequence[str], media: Media) -> bytes:
    """Per row its media and a .json of its settings, in pairs, as `webdataset` reads them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file, name in zip(files, names, strict=True):
            assert file.content is not None
            settings = json.dumps(told(file.row)).encode()
            for member, content in ((name, file.content), (f"{name.rpartition('.')[0]}.json", settings)):
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _parquet(files: Sequence[File], names: Sequence[str], media: Media) -> bytes:
    """A column `media` of bytes and path, which `datasets` shows as pictures, beside the columns of the plan."""
    assert media.format is not None
    rows = table(Sample, (file.row for file in files))
    pairs = [{"bytes": file.content, "path": name} for file, name in zip(files, names, strict=True)]
    kind = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
    rows = rows.append_column("media", pa.array(pairs, kind))
    buffer = io.BytesIO()
    features = json.dumps({"info": {"features": _features(media.format)}})
    pq.write_table(rows.replace_schema_metadata({"huggingface": features}), buffer, row_group_size=_ROWS_PER_GROUP)
    return buffer.getvalue()


_ROWS_PER_GROUP = 100
"""As `datasets` itself does for pictures: a reader takes a group at a time into memory."""


def _features(format: str) -> dict[str, Any]:
    """What `datasets` reads from the metadata: https://huggingface.co/docs/datasets/about_dataset_features."""
    names = {pa.float64(): "float64", pa.int64(): "int64", pa.string(): "string"}
    columns = {column.name: {"dtype": names[column.type], "_type": "Value"} for column in schema(Sample)}
    return {**columns, "media": {"_type": "Video" if FORMATS[format].is_video else "Image"}}
