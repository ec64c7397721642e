"""The night that a run belongs to: what `{date}` in a job's paths stands for, the same for every attempt at it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

DATE = "{date}"

_PLACEHOLDER = re.compile(r"\{\w*\}")


class Night(BaseModel):
    """When one night ends and the next begins. `{date}` is the date on which the night began.

    By the clock and not by the first attempt: what is tried again after midnight, by hand or by a scheduler that
    knows nothing of other attempts, finds the same folder until the next night begins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    begins: str = Field(
        default="00:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="shortly before the schedule starts the job: what is tried again until then keeps its {date}",
    )
    timezone: str = Field(default="UTC", description="of begins, such as Europe/Berlin")
    date: str | None = Field(
        default=None, description="the night to go on with, as 2026-11-22; by the clock if not given"
    )

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            raise ValueError(f"no such time zone: {name}; give one such as Europe/Berlin") from None
        return name

    @field_validator("date")
    @classmethod
    def _is_a_day(cls, day: str | None) -> str | None:
        if day is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
            raise ValueError(f"{day} is no date such as 2026-11-22")
        return day and date.fromisoformat(day).isoformat()

    def at(self, now: datetime) -> str:
        """The date of the night, on clocks that may be changed in it for summer or winter."""
        if self.date is not None:
            return self.date
        begins = time.fromisoformat(self.begins)
        clock = now.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)
        return (clock - timedelta(hours=begins.hour, minutes=begins.minute)).date().isoformat()


def check_placeholders(paths: Mapping[str, str]) -> None:
    """Raises ValueError for a placeholder that is none, and for an output where nights have no folder of their own."""
    for name, path in paths.items():
        unknown = [each for each in _PLACEHOLDER.findall(path) if each != DATE]
        if unknown:
            raise ValueError(f"{name}: {unknown[0]} stands for nothing; known: {DATE}")
    if DATE in paths["output"] and paths["output"].find(f"/{DATE}") != len(paths["output"].rstrip("/")) - len(
        f"/{DATE}"
    ):
        raise ValueError(f"output: {DATE} has to be its last folder, as in s3://images/fox/{DATE}")


def folder_of_nights(output: str) -> str | None:
    """The folder that holds a folder for each night; None if the output is none of a nightly job."""
    root, found, _ = output.partition(f"/{DATE}")
    return (root or "/") if found else None
