import pytest

from jobs.evaluation.frontier import frontier, points_of
from tests.jobs.evaluation.conftest import MakeTrial, setting

A, B, C = setting("adaptive", 0.1), setting("adaptive", 0.2), setting("teacache", 0.3)


def test_a_point_sums_its_trials(trial: MakeTrial) -> None:
    psnrs = [30.0, 35.0, 50.0]
    rows = [
        trial(A, f"p{number}", psnr=psnr, computed=4 + number, seconds=1.0 + number)
        for number, psnr in enumerate(psnrs)
    ]
    (point,) = points_of([A], [*rows, trial(A, "p3", error="ValueError: no", psnr=None, computed=None, seconds=None)])
    assert (point.rows, point.failed) == (3, 1)
    assert point.saving == pytest.approx(30 / 15)  # of the rows that are there: 4 + 5 + 6 of 3 x 10
    assert point.speedup == pytest.approx(6 / 6)  # 3 x 2 s uncached, 1 + 2 + 3 s cached
    psnr = point.medians["psnr"]
    assert (psnr.value, psnr.worst) == (35.0, 30.0)
    assert psnr.interval is not None
    assert 30.0 <= psnr.interval.low <= 35.0 <= psnr.interval.high <= 50.0
    assert point.speedup_interval is not None
    assert "lpips" not in point.medians


def test_rows_of_one_batch_are_one_pair_of_times(trial: MakeTrial) -> None:
    (point,) = points_of([A], [trial(A, f"p{number}", batch="one") for number in range(4)])
    assert point.speedup == 2.0
    assert point.speedup_interval is None  # one pair tells nothing of its spread


def test_settings_that_failed_throughout_are_no_points(trial: MakeTrial) -> None:
    points = points_of([A, B, C], [trial(A, "p"), trial(B, "p", error="no"), trial(C, "p", worst_psnr=30.0)])
    assert [point.setting for point in points] == [A, C]
    assert points[1].values["worst_psnr"] == 30.0


def test_less_is_better_for_lpips_and_flicker(trial: MakeTrial) -> None:
    (point,) = points_of([A], [trial(A, "p", lpips=0.1, flicker=1.0), trial(A, "q", lpips=0.3, flicker=2.0)])
    assert (point.medians["lpips"].worst, point.medians["flicker"].worst) == (0.3, 2.0)


def test_the_frontier_holds_what_nothing_beats_in_both(trial: MakeTrial) -> None:
    settings = [setting("adaptive", place) for place in (1, 2, 3, 4)]
    figures = [(5, 40.0), (4, 41.0), (2, 30.0), (2, 29.0)]  # the second saves more and is better than the first
    trials = [
        trial(each, "p", computed=computed, psnr=psnr) for each, (computed, psnr) in zip(settings, figures, strict=True)
    ]
    best = frontier(points_of(settings, trials), "psnr")
    assert [point.setting for point in best] == [settings[1], settings[2]]
    assert frontier(points_of(settings, trials), "lpips") == []
