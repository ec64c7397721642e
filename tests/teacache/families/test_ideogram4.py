"""Ideogram 4, whose pipeline calls a denoiser of its own for the unconditional branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import teacache
from teacache.cache import denoisers_of
from tests.teacache.test_hooks import Abort, abort_at, hooks_on
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.test_samples import check
from tests.teacache.test_supply import counted
from tests.teacache.tiny import TINY
from tests.teacache.tiny.ideogram4 import TEXT_TOKENS

tiny = TINY["Ideogram4Pipeline"]


@pytest.fixture
def pipe() -> Any:
    return tiny.make()


@pytest.mark.parametrize("aborted", [None, 0, 2])
def test_the_two_denoisers_are_two_branches_of_one_run(pipe: Any, aborted: int | None) -> None:
    calls: list[int] = []
    for index, denoiser in enumerate((pipe.transformer, pipe.unconditional_transformer)):
        denoiser.layers[1].attention.register_forward_hook(lambda *_, index=index: calls.append(index))
    with teacache.enabled(pipe, EXTREME) as cache:
        if aborted is not None:
            with pytest.raises(Abort):
                tiny.generate(pipe, steps=STEPS, callback_on_step_end=abort_at(aborted))
            calls.clear()
        tiny.generate(pipe, steps=STEPS)
    assert calls == [0, 1] * 3
    assert [call.branch for call in cache.stats.calls] == ["0", "1"]
    assert steps_computed(cache.stats) == {(0, 3, 6)}


@pytest.mark.parametrize("method", ["TeaCache", "TeaCache, order 1", "Adaptive"])
def test_prompts_of_different_lengths_do_not_change_each_other(method: str) -> None:
    assert check(tiny, method, (1, 2, 3), [(3, 1, 2)]) > 1


def test_the_denoiser_alone_is_cached_without_the_other(pipe: Any) -> None:
    assert denoisers_of(pipe) == [pipe.transformer, pipe.unconditional_transformer]
    with teacache.enabled(pipe.transformer, EXTREME):
        assert hooks_on(pipe.transformer)
        assert not hooks_on(pipe.unconditional_transformer)


def test_one_denoiser_in_both_places_is_hooked_once(pipe: Any) -> None:
    pipe.unconditional_transformer = pipe.transformer
    assert denoisers_of(pipe) == [pipe.transformer]
    with teacache.enabled(pipe, EXTREME):
        assert hooks_on(pipe.transformer)
    assert not hooks_on(pipe.transformer)


def test_where_the_other_has_a_cache_already_none_is_put_on_the_first(pipe: Any) -> None:
    with teacache.enabled(pipe.unconditional_transformer, EXTREME):
        with pytest.raises(teacache.AlreadyEnabledError):
            teacache.enable(pipe, EXTREME)
        assert not hooks_on(pipe.transformer)
        assert hooks_on(pipe.unconditional_transformer)


def test_a_measured_schedule_runs_neither_at_skipped_steps(pipe: Any, tmp_path: Path) -> None:
    """It is guided at all steps: the answers of the two are of different shapes, and none can stand for the other."""
    call: dict[str, Any] = {"height": 64, "width": 64, "guidance_scale": 4.0, "guidance_schedule": None}
    calibration = teacache.calibrate(
        pipe, ["1", "2", "3"], num_inference_steps=STEPS, measured=(2, 4), max_sequence_length=TEXT_TOKENS, **call
    )
    assert [len(schedule.steps) for schedule in calibration.measured["transformer"]] == [2, 4]
    assert not any(schedule.unguided for schedule in calibration.measured["transformer"])
    calibration.save(tmp_path)
    uncached = tiny.generate(pipe, steps=STEPS)
    errors = []
    for computed in (2, 4):
        config = teacache.ScheduleConfig(computed=computed, calibration=str(tmp_path / "teacache.json"))
        with counted(pipe) as calls, teacache.enabled(pipe, config) as cache:
            errors.append(float((tiny.generate(pipe, steps=STEPS) - uncached).norm() / uncached.norm()))
        assert len(calls) == cache.stats.computed == 2 * computed
    assert errors[1] < errors[0] < 0.5
