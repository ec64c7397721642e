"""The last part of a batch's way: encoded, uploaded and noted in the manifest. What is noted is never made again."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from jobs import metrics
from jobs.config.media import Media
from jobs.errors import describe
from jobs.logs import log_rows
from jobs.media.encode import encode_batch
from jobs.output.manifest import write_batch
from jobs.paths import Output
from jobs.rows import Written
from jobs.runs import Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Encode, upload and note a batch. What goes wrong with its note is told, for the rows can be made again."""

    output: Output
    media: Media
    kept_share: float
    tags: Tags

    def __call__(self, made: pa.Table) -> Written:
        try:
            with metrics.timed("encode", self.tags):
                rows = encode_batch(made, self.output, self.media, self.kept_share)
            with metrics.timed("write", self.tags):
                written = write_batch(rows, self.output)
            log_rows(rows, self.tags)
            return written
        except Exception as error:
            return nothing(unwritten=describe(error))


def nothing(*, unwritten: str = "", ended: str = "") -> Written:
    """No row was written, for that reason if there is one."""
    return Written(done=0, failed=0, steps=0, computed=0, delay=0.0, unwritten=unwritten, ended=ended)
