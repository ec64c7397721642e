import pytest
from pydantic import ValidationError

from jobs.config.targets import Target


def test_a_target_names_what_it_limits() -> None:
    assert Target(psnr=35, lpips=0.1).limits == {"psnr": 35.0, "lpips": 0.1}
    with pytest.raises(ValidationError, match="target names no measure"):
        Target()


def test_every_limit_must_be_kept_and_lpips_from_above() -> None:
    target = Target(psnr=35, lpips=0.1)
    assert target.is_met({"psnr": 35.0, "lpips": 0.1, "ssim": 0.5})
    assert not target.is_met({"psnr": 34.9, "lpips": 0.05})
    assert not target.is_met({"psnr": 40.0, "lpips": 0.2})
    assert not target.is_met({"psnr": 40.0})
