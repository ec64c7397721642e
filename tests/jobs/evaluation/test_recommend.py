from jobs.config.targets import Target
from jobs.evaluation.chosen import CHOOSE, CONFIRM
from jobs.evaluation.recommend import recommend
from jobs.evaluation.settings import Setting, fewer_steps
from jobs.evaluation.trials import Trial
from tests.jobs.evaluation.conftest import MakeTrial, setting

CAREFUL, MIDDLE, BOLD = (setting("adaptive", place) for place in (0.1, 0.2, 0.4))
TARGET = Target(psnr=35)


def trials(make: MakeTrial, of: Setting, computed: int, choose: float, confirm: float) -> list[Trial]:
    parts = {CHOOSE: choose, CONFIRM: confirm}
    return [
        make(of, f"{part}-{number}", part=part, psnr=psnr + number - 1, computed=computed)
        for part, psnr in parts.items()
        for number in range(3)
    ]


def test_the_cheapest_that_keeps_the_target_on_both_parts(trial: MakeTrial) -> None:
    rows = [
        *trials(trial, CAREFUL, 7, choose=50, confirm=50),
        *trials(trial, MIDDLE, 5, choose=40, confirm=36),
        *trials(trial, BOLD, 3, choose=30, confirm=40),
    ]
    found = recommend([CAREFUL, MIDDLE, BOLD], rows, TARGET)
    assert found.setting == MIDDLE
    assert found.chosen is not None
    assert found.confirmed is not None
    assert (found.chosen.values["psnr"], found.confirmed.values["psnr"]) == (40, 36)
    assert found.passed_over == ()
    assert found.fragment == {"model": {"cache": {"method": "adaptive", "tolerance": 0.2}}}


def test_one_that_is_not_confirmed_gives_way_to_the_next_more_careful(trial: MakeTrial) -> None:
    rows = [
        *trials(trial, CAREFUL, 7, choose=50, confirm=35),
        *trials(trial, MIDDLE, 5, choose=40, confirm=34),
        *trials(trial, BOLD, 3, choose=36, confirm=20),
    ]
    found = recommend([CAREFUL, MIDDLE, BOLD], rows, TARGET)
    assert found.setting == CAREFUL
    assert [point.setting for point in found.passed_over] == [BOLD, MIDDLE]


def test_where_none_keeps_it_there_is_no_cache(trial: MakeTrial) -> None:
    found = recommend([BOLD], trials(trial, BOLD, 3, choose=50, confirm=34), TARGET)
    assert found.setting is None
    assert found.fragment == {"model": {"cache": {"method": "none"}}}


def test_what_saves_nothing_or_failed_is_not_recommended(trial: MakeTrial) -> None:
    rows = [
        *trials(trial, CAREFUL, 10, choose=100, confirm=100),
        *trials(trial, BOLD, 3, choose=50, confirm=50),
        trial(BOLD, "bad", part=CONFIRM, error="RuntimeError: no", psnr=None),
    ]
    assert recommend([CAREFUL, BOLD], rows, TARGET).setting is None


def test_of_two_that_cost_the_same_the_nearer_one(trial: MakeTrial) -> None:
    rows = [*trials(trial, BOLD, 5, choose=40, confirm=40), *trials(trial, MIDDLE, 5, choose=45, confirm=45)]
    assert recommend([BOLD, MIDDLE], rows, TARGET).setting == MIDDLE


def test_fewer_steps_are_told_as_steps(trial: MakeTrial) -> None:
    (fewer, *_) = fewer_steps(10)
    found = recommend([fewer], trials(trial, fewer, 7, choose=40, confirm=40), TARGET)
    assert found.fragment == {"generation": {"num_inference_steps": 7}, "model": {"cache": {"method": "none"}}}


def test_every_limit_of_a_target_must_be_kept(trial: MakeTrial) -> None:
    rows = trials(trial, BOLD, 3, choose=40, confirm=40)  # their ssim is 0.99
    assert recommend([BOLD], rows, Target(psnr=35, ssim=0.99)).setting == BOLD
    assert recommend([BOLD], rows, Target(psnr=35, ssim=0.995)).setting is None
    assert recommend([BOLD], rows, Target(psnr=35, lpips=0.1)).setting is None  # which was not measured
