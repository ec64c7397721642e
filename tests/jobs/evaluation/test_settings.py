from jobs.config.model import Model
from jobs.evaluation.settings import METHODS, Known, evenly, fewer_steps, numbers, settings_of

TEACACHE, ORDER_1, ADAPTIVE, SCHEDULE = METHODS


def model(**cache: object) -> Model:
    return Model.model_validate({"pipeline": "demo/flux", "cache": cache})


def test_numbers_of_steps_save_what_they_should() -> None:
    # 28 / 1.5 = 18.7, 28 / 2 = 14, 28 / 2.5 = 11.2, 28 / 3 = 9.3, 28 / 4 = 7, 28 / 5 = 5.6, 28 / 7 = 4
    assert numbers(28) == [19, 14, 11, 9, 7, 6, 4]
    # 4 / 1.5 = 2.7; what is below 2, or twice the same, is left out.
    assert numbers(4) == [3, 2]
    assert numbers(2) == []


def test_even_steps_begin_with_the_first_and_end_with_the_last() -> None:
    assert evenly(4, 10) == (0, 3, 6, 9)
    assert evenly(3, 28) == (0, 14, 27)
    assert evenly(28, 28) == tuple(range(28))


def test_fewer_steps_have_no_cache() -> None:
    settings = fewer_steps(28)
    assert [setting.num_inference_steps for setting in settings] == numbers(28)
    assert {setting.cache.method for setting in settings} == {"none"}


def test_schedules_come_from_the_calibration_where_it_has_them() -> None:
    known = Known(computed=frozenset({14, 7, 3.5, 10 / 3}), calibration="c.json")
    found = {setting.label: setting.cache.config for setting in settings_of(SCHEDULE, model(), 28, known)}
    assert (found["7 computed"].computed, found["7 computed"].calibration) == (7, "c.json")
    assert [found[label].computed for label in ("3.5 computed", "3.333 computed")] == [3.5, 3.33]
    # The list is for this number of steps: a job with another one is refused.
    assert (found["9 computed"].steps, found["9 computed"].num_inference_steps) == (evenly(9, 28), 28)


def test_what_a_user_set_beside_the_dial_stays() -> None:
    own = model(method="teacache", rel_l1_thresh=0.7, granularity="batch", published="FLUX.1-dev")
    found = settings_of(ORDER_1, own, 28, Known(calibration="c.json"))[0].cache.config
    assert (found.order, found.granularity, found.published) == (1, "batch", "FLUX.1-dev")
    # A recipe that was asked for by name is not replaced by a calibration.
    assert (found.rel_l1_thresh, found.calibration) == (0.05, None)
    other = settings_of(ADAPTIVE, own, 28, Known())[0].cache.config
    assert (other.granularity, other.tolerance) == ("batch", 0.02)


def test_a_calibration_that_must_be_named_is_named() -> None:
    (first, *_) = settings_of(TEACACHE, model(method="adaptive"), 28, Known(calibration="c.json"))
    assert first.cache.config.calibration == "c.json"


def test_settings_of_a_method_differ() -> None:
    for method in METHODS:
        settings = settings_of(method, model(), 28, Known())
        assert len({setting.cache.to_json() for setting in settings}) == len(settings) >= 5
        assert len({setting.name for setting in settings}) == len(settings)
