from datetime import datetime, timezone
from typing import Any

import pytest

from jobs.config.job import Job
from jobs.config.load import load_job
from jobs.errors import Refused
from jobs.nights.dates import dated, settled
from jobs.nights.night import Night, folder_of_nights

BERLIN = Night(begins="21:00", timezone="Europe/Berlin")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("now", "date"),
    [
        # Berlin is an hour ahead of UTC in winter, two in summer.
        (utc(2026, 11, 22, 19, 59), "2026-11-21"),
        (utc(2026, 11, 22, 20, 0), "2026-11-22"),
        (utc(2026, 11, 23, 2, 0), "2026-11-22"),
        (utc(2026, 11, 23, 19, 59), "2026-11-22"),
        (utc(2026, 7, 1, 19, 0), "2026-07-01"),
        # Clocks go back at 01:00 UTC on October 25: the evening before it was 21:00 at 19:00, then it is at 20:00.
        (utc(2026, 10, 24, 19, 0), "2026-10-24"),
        (utc(2026, 10, 25, 19, 59), "2026-10-24"),
        (utc(2026, 10, 25, 20, 0), "2026-10-25"),
    ],
)
def test_a_night_lasts_until_the_next_begins(now: datetime, date: str) -> None:
    assert BERLIN.at(now) == date


def test_without_settings_it_is_the_day_in_utc_and_a_date_given_counts() -> None:
    assert Night().at(utc(2026, 11, 22, 23, 59)) == "2026-11-22"
    assert Night(date="2026-01-02").at(utc(2026, 11, 22)) == "2026-01-02"


def job(**fields: Any) -> Job:
    paths = {"prompts": "s3://prompts/{date}/*.parquet", "output": "s3://images/fox/{date}", "night": BERLIN}
    return Job.model_validate({"name": "fox", "model": {"pipeline": "demo/flux"}, **paths, **fields})


def test_paths_get_the_date_once() -> None:
    begun = settled(job(), utc(2026, 11, 22, 20, 30))
    later = dated(begun, utc(2026, 11, 24))
    assert (later.prompts, later.output) == ("s3://prompts/2026-11-22/*.parquet", "s3://images/fox/2026-11-22")
    assert dated(later, utc(2027, 1, 1)) == later
    # What is sent elsewhere says which night it is.
    assert begun.model_dump(exclude_unset=True)["night"]["date"] == "2026-11-22"
    plain = job(prompts="p", output="o")
    assert dated(plain) == settled(plain) == plain


@pytest.mark.parametrize(
    ("output", "folder"),
    [
        ("s3://images/fox/{date}", "s3://images/fox"),
        ("out/{date}/", "out"),
        ("/{date}", "/"),
        ("s3://images/fox", None),
    ],
)
def test_nights_lie_in_one_folder(output: str, folder: str | None) -> None:
    assert folder_of_nights(job(output=output).output) == folder


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--output", "/x/{date}/y"], "output: {date} has to be its last folder, as in s3://images/fox/{date}"),
        (["--output", "/x/fox-{date}"], "output: {date} has to be its last folder"),
        (["--output", "/{date}/{date}"], "output: {date} has to be its last folder"),
        (["--prompts", "/x/{day}"], "prompts: {day} stands for nothing; known: {date}"),
        (["--night.begins", "25:00"], "night.begins: String should match pattern"),
        (["--night.timezone", "Mars/X"], "night.timezone: no such time zone: Mars/X"),
        (["--night.timezone", "../etc"], "night.timezone: no such time zone: ../etc"),
        (["--night.date", "20261122"], "night.date: 20261122 is no date such as 2026-11-22"),
        (["--night.date", "2026-02-30"], "night.date: "),
    ],
)
def test_what_is_no_night_is_refused(arguments: list[str], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        load_job(arguments)
    assert str(refused.value).startswith(f"job: {sentence}")
    assert "\n" not in str(refused.value)
