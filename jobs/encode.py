"""Pixels to files, in CPU tasks beside the actors: encode, compare where audited, upload, hash."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
from PIL import Image

from jobs import storage
from jobs.audit import Picture, fidelity, kept
from jobs.errors import Failure, attempt
from jobs.paths import Output
from jobs.rows import Made, Row, table, values

SUFFIX, MEDIA_TYPE, FORMAT = ".png", "image/png", "PNG"

_THREADS = 8  # Enough to hide the latency of an object store behind the encoding.


def encode_batch(batch: pa.Table, output: Output, kept_share: float = 1.0) -> pa.Table:
    """Manifest rows for rows with pixels: their media written, or the reason why not in `error`.

    Of the audited rows' uncached twins that share is written too.
    """
    made = [Made(**row) for row in batch.to_pylist()]
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        return table(Row, threads.map(lambda row: _finish(row, output, kept_share), made))


def _finish(made: Made, output: Output, kept_share: float) -> Row:
    row = Row(**values(made, Row))
    if made.pixels is None:
        return row
    finished = attempt(lambda: _store(row, made, output, kept_share))
    return replace(row, error=finished.error) if isinstance(finished, Failure) else finished


def _store(row: Row, made: Made, output: Output, kept_share: float) -> Row:
    assert made.pixels is not None
    picture = _picture(made, made.pixels)
    if made.baseline_pixels:
        row = _compared(row, picture, _picture(made, made.baseline_pixels), output, kept_share)
    content = to_png(picture)
    url = output.media(row.model, row.id, SUFFIX)
    storage.write(url, content)
    return replace(
        row,
        uri=storage.public(url),
        media_type=MEDIA_TYPE,
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _compared(row: Row, picture: Picture, baseline: Picture, output: Output, kept_share: float) -> Row:
    psnr, ssim = fidelity(picture, baseline)
    row = replace(row, psnr=psnr, ssim=ssim)
    if not kept(row.id, kept_share):
        return row
    url = output.baseline(row.model, row.id, SUFFIX)
    storage.write(url, to_png(baseline))
    return replace(row, baseline_uri=storage.public(url))


def to_png(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, FORMAT)
    return buffer.getvalue()


def _picture(made: Made, pixels: bytes) -> Picture:
    return np.frombuffer(pixels, dtype=np.uint8).reshape(made.height, made.width, 3)
