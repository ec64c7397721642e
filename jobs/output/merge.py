"""Small manifest files become large ones: a file per batch is durable at once, but millions of files can't be listed.

The merged file is there before its parts go; in between rows stand twice, which readers know how to count.
"""

from __future__ import annotations

import io
import posixpath
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from jobs import storage
from jobs.output.manifest import sizes, write_rows
from jobs.paths import Output, table_name
from jobs.rows import Row, schema

AT_LEAST = 256
"""Files worth a merge: with fewer the folder stays as it is."""

_AT_MOST = 2_048
_LARGE = 8 * 1024 * 1024
"""Bytes from which on a file is left alone."""

_THREADS = 16


def merge(output: Output) -> None:
    """Merge the small files of both folders, where there are many."""
    for folder in (output.manifest, output.failed):
        small = [url for url, size in sizes(folder) if size < _LARGE][:_AT_MOST]
        if len(small) >= AT_LEAST:
            _merge(folder, small)


def _merge(folder: str, parts: list[str]) -> None:
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        rows = pa.concat_tables(threads.map(_rows, parts))
        name = table_name("merged", [posixpath.basename(part) for part in parts])
        write_rows(rows, storage.join(folder, name))
        list(threads.map(storage.remove, parts))


def _rows(url: str) -> pa.Table:
    content = storage.read(url)
    if content is None:
        raise FileNotFoundError(url)
    return pq.read_table(io.BytesIO(content), schema=schema(Row))
