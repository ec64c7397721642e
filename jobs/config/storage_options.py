"""Options of the storage behind URLs, such as an endpoint: the same in the driver and in every worker; no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec.config

from jobs.errors import redact

StorageOptions = dict[str, dict[str, Any]]
"""By protocol, as in `s3: {endpoint_url: ...}`: the arguments of that fsspec file system."""

_SECRET = re.compile(r"key|secret|token|passw|credential|sas|connection_string|auth|cert|sign", re.IGNORECASE)
_HARMLESS = re.compile(r"kms|signature_version", re.IGNORECASE)
"""Names a key that the storage keeps, or how to sign, and is none."""


def check(options: Mapping[str, Any]) -> None:
    """Raises ValueError for what is, or by its name may be, a credential: a job file is copied, logged and shared."""
    for place, value in _leaves(options, ()):
        name = place.rpartition(".")[2]
        if _SECRET.search(name) and not _HARMLESS.search(name):
            raise ValueError(
                f"{place}: credentials are no part of a job; they come from the environment, such as "
                "AWS_ACCESS_KEY_ID, or from the usual files, such as ~/.aws/credentials"
            )
        if isinstance(value, str) and redact(value) != value:
            raise ValueError(f"{place}: a URL with a user, password or query may hold a secret; give it without")


def use(options: StorageOptions) -> None:
    """Let every file system that is opened from now on have them, which is what fsspec's own configuration is for."""
    for protocol, settings in options.items():
        fsspec.config.conf[protocol] = {**fsspec.config.conf.get(protocol, {}), **settings}


def _leaves(options: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(name)))
        else:
            yield ".".join((*path, str(name))), value
