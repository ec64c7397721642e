"""Trials with figures that can be checked by hand."""

from collections.abc import Callable

import pytest

from jobs.config.cache import Cache
from jobs.evaluation.settings import Setting
from jobs.evaluation.trials import Trial

MakeTrial = Callable[..., Trial]


def setting(method: str, place: float, steps: int = 10) -> Setting:
    fields = {"adaptive": "tolerance", "teacache": "rel_l1_thresh"}
    cache = {"method": method, fields[method]: place} if method in fields else {"method": "none"}
    return Setting(method=method, label=f"{place:g}", cache=Cache.model_validate(cache), num_inference_steps=steps)


@pytest.fixture
def trial() -> MakeTrial:
    """A row of a setting: `trial(setting, "p1", part="choose", psnr=40.0, computed=5)`."""

    def make(of: Setting, prompt: str, **figures: object) -> Trial:
        fields: dict[str, object] = {
            "id": prompt,
            "prompt": prompt,
            "negative_prompt": None,
            "seed": 1,
            "height": 64,
            "width": 64,
            "num_frames": None,
            "num_inference_steps": of.num_inference_steps,
            "guidance_scale": None,
            "model": "flux",
            "part": "choose",
            "method": of.method,
            "label": of.label,
            "cache": of.cache.to_json(),
            "batch": prompt,
            "batch_size": 1,
            "actor": "",
            "num_gpus": 0.0,
            "num_cpus": 1.0,
            "versions": "{}",
            "error": "",
            "seconds": 1.0,
            "baseline_seconds": 2.0,
            "computed": 5,
            "baseline_steps": 10,
            "psnr": 40.0,
            "ssim": 0.99,
        }
        return Trial(**{**fields, **figures})  # type: ignore[arg-type]

    return make
