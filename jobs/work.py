"""What is left to do for each model: all rows less those that it is through with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.config.model import Model
from jobs.errors import Refused
from jobs.ids import contains, digests, looked_up
from jobs.output import manifest
from jobs.output.manifest import Tried
from jobs.paths import Output
from jobs.preflight import Checked
from jobs.prompts.plan import Digests
from jobs.prompts.reading import read_shard
from jobs.prompts.scan import Scan
from jobs.rows import strings


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One model's rows by state, as sorted digests of their ids."""

    model: Model
    tried: Tried
    """Also rows that the prompts hold no more."""
    done: Digests
    failed: Digests
    pending: Digests
    edited: Digests
    """Done or failed, and since then the prompts say something else under that id."""

    @property
    def edited_done(self) -> Digests:
        return self.edited[contains(self.done, self.edited)]


def works(ready: Checked) -> list[Work]:
    """The state of every model. Raises Refused for a manifest that can't be read."""
    output = Output(url=ready.job.output)
    return [_work(model, manifest.tried(output, model.name), ready.scan) for model in ready.job.each_model]


def to_do(work: Work, *, retry_failed: bool) -> Digests:
    """The rows to make: those never tried, and those that failed and were edited since; or all failed ones."""
    if retry_failed:
        return work.failed
    return np.union1d(work.pending, work.edited[contains(work.failed, work.edited)])


def check_edited(ready: Checked, models: Sequence[Work]) -> None:
    """Raises Refused if a row that is done was edited: its picture would not be what the prompts say."""
    for work in models:
        if count := len(work.edited_done):
            row_id, shard = _find(ready, int(work.edited_done[0]))
            raise Refused(
                f"prompts: {count:,} row(s) that model {work.model.name} has done were edited since, first {row_id!r} "
                f"in {shard}; give them new ids, or give another --output"
            )


def _work(model: Model, tried: Tried, found: Scan) -> Work:
    """Of ten million rows each array takes 80 MB, so none is made that is not needed."""
    there = contains(found.ids, tried.ids)
    edited = tried.ids[:0]
    if there.any():
        edited = tried.ids[there & (tried.fingerprints != looked_up(found.ids, found.fingerprints, tried.ids))]
    return Work(
        model=model,
        tried=tried,
        done=tried.ids[there & ~tried.failed],
        failed=tried.ids[there & tried.failed],
        pending=np.unique(found.ids[~contains(tried.ids, found.ids)]),
        edited=edited,
    )


def _find(ready: Checked, digest: int) -> tuple[str, str]:
    for shard in ready.scan.shards:
        for prompts in read_shard(ready.job.prompts, shard):
            ids = strings(prompts["id"])
            for place in np.flatnonzero(digests(ids) == digest):
                return ids[int(place)], shard.name
    raise AssertionError("a digest comes from a row")
