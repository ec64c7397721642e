import pytest

from jobs.errors import Refused
from jobs.evaluation.asked import asked_methods, asked_target


def test_targets_may_be_several() -> None:
    assert asked_target(["psnr=35"]).limits == {"psnr": 35.0}
    assert asked_target(["psnr=35", "ssim=0.95,lpips=0.1"]).limits == {"psnr": 35.0, "ssim": 0.95, "lpips": 0.1}
    assert str(asked_target(["ssim=0.95,lpips=0.1"])) == "ssim >= 0.95, lpips <= 0.1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("35", "--target 35: give a measure and its limit, as in --target psnr=35"),
        ("psnr=high", "--target psnr: .*number.*, got 'high'"),
        ("psnr=100", "--target psnr: .*less than 100, got '100'"),
        ("fid=3", "--target: no measure fid; known: psnr, ssim, ms_ssim, lpips"),
    ],
)
def test_what_is_no_target_is_refused_in_one_line(text: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        asked_target([text])


def test_methods_are_those_of_a_cache() -> None:
    assert asked_methods([]) == ()
    assert asked_methods(["adaptive,schedule", "teacache"]) == ("adaptive", "schedule", "teacache")
    with pytest.raises(Refused, match="--method none: known: teacache, adaptive, schedule"):
        asked_methods(["none"])
