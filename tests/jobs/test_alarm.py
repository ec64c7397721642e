import json

import pytest

from jobs.accounting.statistics import Statistics
from jobs.config.job import Alarm
from jobs.nights.alarm import breaches
from jobs.progress import Tally
from tests.jobs.test_summary import summary

FIGURES = json.loads(summary().to_json())["models"]["flux"]
"""Speed-up 1.33, 1 of 6 failed, median PSNR 32.5 dB and SSIM 0.75, 0.1 rows per second."""


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ({"min_speedup": 1.3}, None),
        ({"min_speedup": 1.5}, "speedup is 1.333, min_speedup is 1.5"),
        ({"max_failure_rate": 0.2}, None),
        ({"max_failure_rate": 0.01}, "failure_rate is 0.1667, max_failure_rate is 0.01"),
        ({"min_psnr": 32.5}, None),
        ({"min_psnr": 35}, "psnr is 32.5, min_psnr is 35"),
        ({"min_ssim": 0.9}, "ssim is 0.75, min_ssim is 0.9"),
        ({"min_rows_per_second": 2}, "rows_per_second is 0.1, min_rows_per_second is 2"),
    ],
)
def test_a_limit_rings_when_it_is_passed(limit: dict[str, float], sentence: str | None) -> None:
    assert breaches(Alarm(**limit), FIGURES) == ([sentence] if sentence else [])


def test_what_was_not_measured_rings_and_what_had_nothing_to_do_does_not() -> None:
    nothing = json.loads(summary(models={"flux": Statistics()}, runs={"flux": Tally()}).to_json())["models"]["flux"]
    limits = Alarm(min_speedup=1.5, min_psnr=30, min_rows_per_second=1)
    assert breaches(limits, nothing) == [
        "speedup was not measured, min_speedup is 1.5",
        "psnr was not measured, min_psnr is 30",
    ]


def test_no_limit_no_alarm() -> None:
    assert breaches(Alarm(), FIGURES) == []
