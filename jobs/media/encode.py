"""Pixels to files, while the actor generates the next batch: encode, compare where audited, upload, hash."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa

from jobs import storage
from jobs.accounting.audit import fidelity, kept
from jobs.config.media import Media
from jobs.errors import Failure, attempt
from jobs.media.codecs import Frames, comment_of, encode
from jobs.media.formats import FORMATS
from jobs.media.layouts import File, store
from jobs.paths import Output
from jobs.rows import Made, Row, table, values

_THREADS = 8  # Enough to hide the latency of an object store behind the encoding.


def encode_batch(batch: pa.Table, output: Output, media: Media, kept_share: float = 1.0) -> pa.Table:
    """Manifest rows for rows with pixels: their media written, or the reason why not in `error`.

    Of the audited rows' uncached twins that share is written too.
    """
    made = [Made(**row) for row in batch.to_pylist()]
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        files = list(threads.map(lambda row: _file(row, output, media, kept_share), made))
        return table(Row, store(files, output, media, threads))


def _file(made: Made, output: Output, media: Media, kept_share: float) -> File:
    row = Row(**values(made, Row))
    if made.pixels is None:
        return File(row=row)
    file = attempt(lambda: _encoded(row, made, output, media, kept_share))
    return File(row=replace(row, error=file.error)) if isinstance(file, Failure) else file


def _encoded(row: Row, made: Made, output: Output, media: Media, kept_share: float) -> File:
    assert made.pixels is not None
    assert media.format is not None
    frames = _frames(made, made.pixels)
    if made.baseline_pixels:
        row = _compared(row, frames, _frames(made, made.baseline_pixels), output, media, kept_share)
    content = encode(frames, media, comment_of(row) if media.embed_metadata else None)
    facts = {
        "media_type": FORMATS[media.format].media_type,
        "fps": media.fps,
        "num_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return File(row=row, content=content, facts=facts)


def _compared(row: Row, frames: Frames, baseline: Frames, output: Output, media: Media, kept_share: float) -> Row:
    psnr, ssim = fidelity(frames, baseline)
    row = replace(row, psnr=psnr, ssim=ssim)
    if not kept(row.id, kept_share):
        return row
    url = output.baseline(row.model, row.id, f".{media.format}")
    storage.write(url, encode(baseline, media))
    return replace(row, baseline_uri=storage.public(url))


def _frames(made: Made, pixels: bytes) -> Frames:
    return np.frombuffer(pixels, dtype=np.uint8).reshape(made.num_frames or 1, made.height, made.width, 3)
