"""Every file name below a job's output, and the packaged folders that a job may name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jobs import storage

DEMO = "demo/"

_UNSAFE = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The layout below the output URL.

    `media/ audit/ manifest/ failed/ job.json stats.json stats.parquet report.html lease.json`
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

    @property
    def manifest(self) -> str:
        return storage.join(self.url, "manifest")

    @property
    def failed(self) -> str:
        return storage.join(self.url, "failed")

    def here(self, uri: str) -> str:
        """Where a file below `media/` or `audit/` is now, given its URI as noted: the output may have been moved."""
        parts = uri.split("/")
        return storage.join(self.url, *parts[-4:]) if parts[-4:-3] in (["media"], ["audit"]) else uri

    def media(self, model: str, row_id: str, suffix: str) -> str:
        """Where a row's media goes: a pure function of model and row id, whatever characters the id holds.

        The readable part is only for people; the hash keeps ids apart that look alike, also where
        capitals don't count.
        """
        return self._picture("media", model, row_id, suffix)

    def baseline(self, model: str, row_id: str, suffix: str) -> str:
        """Where the uncached twin of an audited row is kept: as `media`, below `audit`."""
        return self._picture("audit", model, row_id, suffix)

    def _picture(self, folder: str, model: str, row_id: str, suffix: str) -> str:
        digest = hashlib.sha256(row_id.encode()).hexdigest()
        readable = _UNSAFE.sub("-", row_id)[:40].strip("-")
        name = f"{readable}-{digest[:16]}" if readable else digest[:16]
        return storage.join(self.url, folder, model, digest[:2], f"{name}{suffix}")


def table_name(model: str, ids: list[str]) -> str:
    """One name per set of rows, so that a task that Ray runs again overwrites its own file."""
    return hashlib.sha256("\n".join((model, *ids)).encode()).hexdigest()[:24] + ".parquet"


def packaged(name: str) -> str:
    """`demo/...` names a folder inside this package, on every node; other names stand for themselves."""
    if not name.startswith(DEMO):
        return name
    folder = Path(str(resources.files("jobs"))) / name
    return str(folder) if folder.exists() else name
