"""The name of a run, and what each of its log lines and metrics carries."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone

RUN_VARIABLE = "JOBS_RUN"
"""Environment variable by which `submit` names the run: its submission id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Which run, and which model of it."""

    run: str
    model: str


def new_run(job: str) -> str:
    """`fox-flux-20261122-213000-1f2e`: job, date and time in UTC, and random digits for runs of the same second."""
    return f"{job}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def current_run(job: str) -> str:
    """The name that `submit` chose, else a new one."""
    return os.environ.get(RUN_VARIABLE) or new_run(job)
