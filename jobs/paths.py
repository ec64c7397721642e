"""Every file name below a job's output, and the packaged folders that a job may name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jobs import storage

DEMO = "demo/"

SHARDS = {"webdataset": ".tar", "parquet": ".parquet"}
"""The suffix of a layout's shards."""

_UNSAFE = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The layout below the output URL.

    `media/ audit/ manifest/ failed/ job.json stats.json stats.parquet report.html lease.json calibration/ evaluation/`
    """

    url: str

    @property
    def job(self) -> str:
        return storage.join(self.url, "job.json")

    @property
    def stats(self) -> str:
        return storage.join(self.url, "stats.json")

    @property
    def stats_table(self) -> str:
        return storage.join(self.url, "stats.parquet")

    @property
    def report(self) -> str:
        return storage.join(self.url, "report.html")

    @property
    def lease(self) -> str:
        return storage.join(self.url, "lease.json")

    def calibration(self, model: str) -> str:
        return storage.join(self.url, "calibration", f"{model}.json")

    def evaluation(self, *parts: str) -> str:
        """A file or folder of what `evaluate` writes."""
        return storage.join(self.url, "evaluation", *parts)

    @property
    def manifest(self) -> str:
        return storage.join(self.url, "manifest")

    @property
    def failed(self) -> str:
        return storage.join(self.url, "failed")

    def here(self, uri: str) -> str:
        """Where a file below `media/` or `audit/` is now, given its URI as noted: the output may have been moved."""
        member, mark, place = uri.rpartition("::")
        parts = place.split("/")
        for depth in (4, 3):  # A file in one of the folders that spread them, or a shard.
            if parts[-depth : 1 - depth] in (["media"], ["audit"]):
                return member + mark + storage.join(self.url, *parts[-depth:])
        return uri

    def media(self, model: str, row_id: str, suffix: str) -> str:
        """Where a row's media goes: a pure function of model and row id, whatever characters the id holds.

        The readable part is only for people; the hash keeps ids apart that look alike, also where
        capitals don't count.
        """
        return self._picture("media", model, row_id, suffix)

    def baseline(self, model: str, row_id: str, suffix: str) -> str:
        """Where the uncached twin of an audited row is kept: as `media`, below `audit`."""
        return self._picture("audit", model, row_id, suffix)

    def shard(self, model: str, ids: list[str], suffix: str) -> str:
        """Where the media of a batch goes that is kept together: a pure function of model and row ids."""
        return storage.join(self.url, "media", model, _set_name(model, ids) + suffix)

    def shards(self) -> list[str]:
        """All shards there are."""
        fs, path = storage.open_url(storage.join(self.url, "media"))
        models = fs.ls(path, detail=False, refresh=True) if fs.isdir(path) else []
        found = [shard for model in models if fs.isdir(model) for shard in fs.ls(model, detail=False, refresh=True)]
        return [self.here(f"/{shard}") for shard in found if shard.endswith(tuple(SHARDS.values()))]

    @staticmethod
    def member(row_id: str, suffix: str) -> str:
        """A row's name inside a shard: without dots but that of the suffix, which WebDataset reads as its kind."""
        digest = hashlib.sha256(row_id.encode()).hexdigest()
        readable = _UNSAFE.sub("-", row_id)[:40].strip("-")
        return f"{readable}-{digest[:16]}{suffix}" if readable else f"{digest[:16]}{suffix}"

    def _picture(self, folder: str, model: str, row_id: str, suffix: str) -> str:
        digest = hashlib.sha256(row_id.encode()).hexdigest()
        return storage.join(self.url, folder, model, digest[:2], self.member(row_id, suffix))


def table_name(model: str, ids: list[str]) -> str:
    """One name per set of rows, so that a task that Ray runs again overwrites its own file."""
    return _set_name(model, ids) + ".parquet"


def _set_name(model: str, ids: list[str]) -> str:
    return hashlib.sha256("\n".join((model, *ids)).encode()).hexdigest()[:24]


def packaged(name: str) -> str:
    """`demo/...` names a folder inside this package, on every node; other names stand for themselves."""
    if not name.startswith(DEMO):
        return name
    folder = Path(str(resources.files("jobs"))) / name
    return str(folder) if folder.exists() else name
