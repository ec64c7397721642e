"""Where the prompts of a job are: a file, a folder or a glob at any fsspec URL."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

from jobs.paths import packaged
from jobs.storage import open_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the prompts are, apart from what may be secret: `?signature` is part of http URLs only."""

    fs: AbstractFileSystem
    path: str
    query: str

    @property
    def is_glob(self) -> bool:
        return any(mark in self.path for mark in "*?[")

    @property
    def is_folder(self) -> bool:
        return bool(self.fs.isdir(self.path + self.query))

    @property
    def folder(self) -> str:
        """Where shard names start: the folder itself, a file's, or the one before a glob's first star."""
        if self.is_glob:
            before = self.path[: min(self.path.index(mark) for mark in "*?[" if mark in self.path)]
            return before.rpartition("/")[0]
        return self.path if self.is_folder else posixpath.dirname(self.path)

    def name_of(self, path: str) -> str:
        """What a shard is called: its path below the folder."""
        return posixpath.relpath(self.without_query(path), self.folder)

    def without_query(self, path: str) -> str:
        return path.partition("?")[0] if "http" in self.fs.protocol else path


def place_of(url: str) -> Place:
    fs, path = open_url(packaged(url))
    if "http" not in fs.protocol:
        return Place(fs=fs, path=path, query="")
    path, mark, query = path.partition("?")
    return Place(fs=fs, path=path, query=mark + query)


def list_files(place: Place) -> list[str]:
    """The Parquet files there, by name. Raises FileNotFoundError where there is nothing."""
    fs = place.fs
    if place.is_glob:
        return sorted(found for found in fs.glob(place.path) if fs.isfile(found))
    if place.is_folder:
        found = [path for path in fs.find(place.path + place.query) if place.without_query(path).endswith(".parquet")]
        return sorted(path for path in found if not _hidden(posixpath.relpath(path, place.path)))
    if not fs.exists(place.path + place.query):
        raise FileNotFoundError("there is nothing of that name")
    return [place.path + place.query]


def would_read(url: str, path: str) -> bool:
    """Whether a Parquet file at this absolute path or URL would be taken for a shard of these prompts."""
    place = place_of(url)
    fs, other = open_url(path)
    if fs.protocol != place.fs.protocol:
        return False
    if place.is_glob:
        return re.match(glob_translate(place.path), other) is not None
    folder = f"{place.path.rstrip('/')}/"
    return place.is_folder and other.startswith(folder) and not _hidden(other.removeprefix(folder))


def open_shard(url: str, name: str) -> Any:
    """A shard by its name, for reading."""
    place = place_of(url)
    return place.fs.open(posixpath.join(place.folder, name) + place.query, "rb")


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
