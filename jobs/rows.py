"""The columns of prompts, plan and manifest, written once: a dataclass field is a column.

Times of a row are its share of its batch: the seconds of the pipeline call divided by the rows in that call,
so that sums over rows are sums over calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa

_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.large_binary(),
    tuple[str, ...]: pa.list_(pa.string()),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture or video to make: a prompt's row with everything filled in.

    None: the pipeline takes no such argument, or has a number of frames of its own.
    """

    id: str
    prompt: str | None
    negative_prompt: str | None
    seed: int
    height: int
    width: int
    num_frames: int | None
    num_inference_steps: int
    guidance_scale: float | None
    fingerprint: int = 0
    """A digest of what the prompt's row says, by which a row that was edited under its id is told."""

    @property
    def call(self) -> tuple[object, ...]:
        """Samples with equal values here can share one pipeline call."""
        return (
            self.height,
            self.width,
            self.num_frames,
            self.num_inference_steps,
            self.guidance_scale,
            self.negative_prompt is None,
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the pipeline call beside prompt and seed; what it does not take is left out."""
        names = ("height", "width", "num_frames", "num_inference_steps", "guidance_scale", "negative_prompt")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Sample):
    """One row of the manifest. `error == ""` means done; a failed row has no media."""

    model: str
    cache: str
    """The cache settings as JSON, defaults included."""
    batch_size: int
    """Rows in the pipeline call that made this one."""
    batch: str
    """The pipeline call that made this row: rows of one call share its timing."""
    actor: str
    num_gpus: float
    num_cpus: float
    versions: str
    """Versions of the libraries as JSON."""
    created_at: datetime
    error: str = ""
    uri: str | None = None
    media_type: str | None = None
    fps: float | None = None
    """Frames per second of a video."""
    num_bytes: int | None = None
    sha256: str | None = None
    seconds: float | None = None
    denoise_seconds: float | None = None
    """Of `seconds`, those inside the denoiser."""
    steps: int | None = None
    """Denoiser calls that this row went through, guidance branches counted each."""
    computed: int | None = None
    """Of `steps`, those that were computed, not stood in for."""
    computed_mask: str | None = None
    """Step by step, 1 where it was computed, 0 where not; a word for each guidance branch: `110101 110101`."""
    baseline_seconds: float | None = None
    """As `seconds`, for the same batch with the cache off. None where not audited."""
    baseline_denoise_seconds: float | None = None
    psnr: float | None = None
    """Decibels against the picture made with the cache off: 100 stands for identical, what differs has at most 99.9."""
    ssim: float | None = None
    baseline_uri: str | None = None
    """The picture made with the cache off, for the audited rows of which it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Row):
    """A row on its way from the actor to the encoder, with its pixels as raw frames x height x width x 3 bytes."""

    pixels: bytes | None = None
    baseline_pixels: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows that go through Ray as one: a block of one such row is what one pipeline call makes."""

    rows: bytes
    """A table of them, as an Arrow stream."""
    ended: str = ""
    """Why the job must end; then there are no rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one batch came to, for the progress display."""

    done: int
    failed: int
    steps: int
    computed: int
    delay: float
    """Seconds from the end of the pipeline call to the manifest file."""
    errors: tuple[str, ...] = ()
    """The class of each failed row's error."""
    audited_seconds: float = 0.0
    """Of the audited rows, `seconds` with the cache and without it."""
    baseline_seconds: float = 0.0
    unstored: int = 0
    """Of `failed`, those whose media could not be written."""
    unwritten: str = ""
    """Why the batch itself could not be written to the manifest, so that its rows are still to be done."""
    ended: str = ""
    """Why the job must end, if it must."""
    salvaged: bool = False
    """Whether it was made before its actor or run was killed, and only written now."""


def schema(kind: type) -> pa.Schema:
    """The Arrow schema of one of these dataclasses."""
    hints = get_type_hints(kind)
    return pa.schema([_field(column.name, hints[column.name]) for column in fields(kind)])


def table(kind: type, records: Iterable[object]) -> pa.Table:
    names = [column.name for column in fields(kind)]
    return pa.Table.from_pylist([{name: getattr(r, name) for name in names} for r in records], schema=schema(kind))


def values(record: object, kind: type) -> dict[str, Any]:
    """The record's columns that `kind` has too."""
    return {column.name: getattr(record, column.name) for column in fields(kind)}


def strings(column: Any) -> list[str]:
    """An Arrow column of texts without nulls as a list."""
    texts: list[str] = column.to_pylist()
    return texts


def _field(name: str, hint: Any) -> pa.Field[Any]:
    if get_origin(hint) is UnionType:
        return pa.field(name, _ARROW[get_args(hint)[0]])
    return pa.field(name, _ARROW[hint])
