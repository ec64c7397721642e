"""What actors made and did not live to write: found on their nodes, and written instead of made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.actors.spool import Spool, drop
from jobs.config import storage_options
from jobs.config.job import Job
from jobs.config.model import Model
from jobs.config.storage_options import StorageOptions
from jobs.ids import contains, digests, looked_up
from jobs.media.finish import Finish
from jobs.output import identity
from jobs.prompts.plan import Digests
from jobs.prompts.scan import Scan
from jobs.rows import Written, strings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Rows that are still to be done, as sorted digests of their ids, and what the prompts say of each."""

    ids: Digests
    fingerprints: Digests

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, ids: Digests) -> Wanted:
        """Those not among the sorted ids."""
        others = ~contains(ids, self.ids)
        return Wanted(ids=self.ids[others], fingerprints=self.fingerprints[others])

    def among(self, made: pa.Table) -> pa.Table:
        """The rows that are wanted and no failures, those are tried again."""
        ids = digests(strings(made["id"]))
        same = looked_up(self.ids, self.fingerprints, ids) == made["fingerprint"].to_numpy().view(np.uint64)
        return made.filter(pc.and_(pa.array(contains(self.ids, ids) & same), pc.equal(made["error"], pa.scalar(""))))


def spool(job: Job, model: Model, token: str) -> Spool:
    """Where this model's batches lie between making and writing: elsewhere for every setting that changes a row."""
    settings = identity.settings(job.model_copy(update={"model": model, "models": ()}))
    return Spool(key=hashlib.sha256(json.dumps([token, settings], sort_keys=True).encode()).hexdigest()[:24])


def wanted(found: Scan, ids: Digests) -> Wanted:
    """These of the prompts' rows."""
    return Wanted(ids=ids, fingerprints=looked_up(found.ids, found.fingerprints, ids))


def salvaged(where: Spool, finish: Finish, options: StorageOptions, left: Wanted) -> Iterator[Written]:
    """Have every node write what of the wanted rows lies there; a node that can't is left out, its rows are made again.

    To be called while no actor of this model lives.
    """
    task, shared = ray.remote(num_cpus=0, max_retries=0)(_written), ray.put(left)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    on = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    running = [task.options(scheduling_strategy=each).remote(where, finish, options, shared) for each in on]
    for batches in running:
        try:
            written = ray.get(batches)
        except RayError:
            continue
        yield from written


def _written(where: Spool, finish: Finish, options: StorageOptions, left: Wanted) -> list[Written]:
    """What lies on this node; what is not wanted is swept away."""
    storage_options.use(options)
    every = []
    for path, made in where.left():
        rows = left.among(made)
        written = finish(rows) if rows.num_rows else None
        if written:
            every.append(replace(written, salvaged=True))
        if not (written and written.unwritten):
            drop(path)
    return every
