"""Runs and steps recognised from timesteps alone; the scheduler's way is tested with pipelines in test_cache.py, but
for one that stands still."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from teacache.trajectories import PipelineProgress, TimestepProgress


def starts(values: list[float], total: int | None = None) -> list[bool]:
    progress = TimestepProgress(lambda: total, None)
    return [progress.place(partial(torch.tensor, [value]), repeats=False).starts for value in values]


def test_a_value_that_does_not_go_on_starts_a_run() -> None:
    assert starts([900, 600, 300, 900, 500]) == [True, False, False, True, False]
    assert starts([0.1, 0.5, 0.9, 0.1]) == [True, False, False, True]  # Lumina2 counts upwards


def test_a_second_branch_is_not_a_second_step() -> None:
    progress = TimestepProgress(lambda: None, None)
    moves = [progress.place(partial(float, value), repeats=False).moves for value in (900, 900, 600, 600)]
    assert moves == [True, False, True, False]


def test_a_known_number_of_steps_ends_the_run() -> None:
    progress = TimestepProgress(lambda: 3, None)
    places = [progress.place(partial(float, value), repeats=False) for value in (3, 2, 1, 0.5)]
    assert [place.last for place in places] == [False, False, True, False]
    assert [place.starts for place in places] == [True, False, False, True]


def test_the_same_context_again_at_the_same_step_is_a_new_run() -> None:
    progress = TimestepProgress(lambda: None, None)
    progress.place(lambda: 900, repeats=False)
    assert progress.place(lambda: 900, repeats=True).starts


def test_the_callback_is_asked_instead_of_the_argument() -> None:
    values = iter([3.0, 2.0])
    progress = TimestepProgress(lambda: None, lambda: next(values))
    assert [progress.place(partial(torch.tensor, [7.0]), repeats=False).moves for _ in range(2)] == [True, True]


def test_runs_of_one_step_are_runs() -> None:
    assert starts([5, 5, 5], total=1) == [True, True, True]


@pytest.mark.parametrize(
    ("said", "steps", "last"),
    [(None, 3, [False, False, True]), (4, 3, [False, False, False]), (None, None, [False, False, False])],
)
def test_a_scheduler_that_stands_still_tells_the_end_where_the_pipeline_does_not(
    said: int | None, steps: int | None, last: list[bool]
) -> None:
    """HeliosDMDScheduler counts no steps; a pipeline with a copy of its scheduler for every frame says how many, and
    the scheduler of one that is not running knows nothing."""
    scheduler = SimpleNamespace(
        step_index=None, begin_index=None, timesteps=torch.tensor([3, 2, 1]), num_inference_steps=steps
    )
    progress = PipelineProgress(lambda: scheduler, lambda: said)
    places = [progress.place(partial(float, value), repeats=value < 3) for value in (3, 2, 1)]
    assert [place.last for place in places] == last
    assert progress.knows_end == (said is not None or steps is not None)
    assert not progress.completed
