"""One row of an output made again, here and without Ray: the same pipeline call, so the same bytes.

The last bits of a picture depend on how many rows share its call, so the whole call is repeated, not the row alone.
Equal bytes need the same kind of device and the same versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import storage
from jobs.config.job import Actors, Generation
from jobs.config.media import Media
from jobs.config.model import Model
from jobs.errors import JobFailed, Refused, redact
from jobs.media.codecs import comment_of, encode, settled
from jobs.output import manifest
from jobs.output.identity import CONTENTS
from jobs.paths import Output
from jobs.rows import Made, Row, Sample, schema, table, values

_MOST_ORDERS_TRIED = 5_040


def find_rows(output: Output, row_id: str, model: str | None = None) -> list[Row]:
    """The rows of that id, one for each model that has it. Raises Refused if there is none."""
    rows = [row for row in _rows(output, "id", row_id) if model in (None, row.model)]
    if not rows:
        raise Refused(f"{redact(output.url)} holds no row {row_id!r}{f' of model {model}' if model else ''}")
    return rows


def make_again(row: Row, output: Output) -> bytes:
    """The bytes of the row's media, generated anew with the settings noted in the output's job.json.

    Raises Refused if the row failed or its settings or batchmates are not all there, JobFailed if it can't be made.
    """
    # Imported here: to look at a row takes no torch.
    import diffusers

    from jobs.actors.generate import Generate

    diffusers.utils.logging.disable_progress_bar()
    if row.error:
        raise Refused(f"row {row.id!r} failed, so there is nothing to make again: {row.error}")
    noted = _noted(output)
    together = _call(output, row)
    generate = Generate(
        model=_model(noted, row),
        generation=Generation.model_validate(_under(noted, "generation")),
        actors=Actors(num_gpus=row.num_gpus, num_cpus=row.num_cpus),
        audit_fraction=0.0,
    )
    rows = generate(table(Sample, [Sample(**values(each, Sample)) for each in together])).to_pylist()
    made = next(Made(**each) for each in rows if each["id"] == row.id)
    if made.pixels is None:
        raise JobFailed(f"row {row.id!r} can't be made again: {made.error}")
    frames = np.frombuffer(made.pixels, dtype=np.uint8).reshape(made.num_frames or 1, made.height, made.width, 3)
    is_video = str(row.media_type).startswith("video/")
    media = settled(Media.model_validate(_under(noted, "media")), video=is_video)
    return encode(frames, media, comment_of(row) if media.embed_metadata else None)


def _call(output: Output, row: Row) -> Sequence[Row]:
    """The rows of the row's pipeline call, in the order of the call, which their digest tells."""
    from jobs.actors.generate import call_id

    rows = [each for each in _rows(output, "batch", row.batch) if each.model == row.model]
    if len(rows) == row.batch_size:
        for _, order in zip(range(_MOST_ORDERS_TRIED), permutations(rows), strict=False):
            if call_id(order) == row.batch:
                return order
    raise Refused(
        f"row {row.id!r} was made in one call with {row.batch_size - 1} other(s), which the manifest no longer holds"
    )


def _rows(output: Output, column: str, value: str) -> list[Row]:
    found = []
    for batch in manifest.read_batches(output, schema(Row).names):
        found += batch.filter(pc.equal(batch[column], pa.scalar(value))).to_pylist()
    return [Row(**each) for each in found]


def _noted(output: Output) -> Mapping[str, Any]:
    content = storage.read(output.job)
    if content is None:
        raise Refused(f"{redact(output.url)} has no job.json, which holds the settings that its rows were made with")
    noted: Mapping[str, Any] = json.loads(content)
    return noted


def _under(noted: Mapping[str, Any], scope: str) -> dict[str, Any]:
    return {name.removeprefix(f"{scope}."): value for name, value in noted.items() if name.startswith(f"{scope}.")}


def _model(noted: Mapping[str, Any], row: Row) -> Model:
    fields = _under(noted, f"models.{row.model}")
    cache = {name: value for name, value in json.loads(row.cache).items() if value is not None}
    for name in ("exact", *CONTENTS):  # the actors' setting, which a whole call needn't know; and what the files held
        fields.pop(name, None)
    return Model.model_validate({**fields, "name": row.model, "cache": cache})
