from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

import teacache
from teacache.attachment import ATTRIBUTE
from tests.teacache.tiny.flux import embeddings


class PromptedFlux(FluxPipeline):
    """Takes words without text encoders: a prompt's embeddings are drawn with its length as the seed."""

    def encode_prompt(self, prompt: str | list[str], **unused: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        tokens, pooled = embeddings([len(prompt) for prompt in prompts])
        return tokens, pooled, torch.zeros(tokens.shape[1], 3)


@pytest.fixture
def prompted(pipe: FluxPipeline) -> PromptedFlux:
    prompted = PromptedFlux(**pipe.components)
    prompted.set_progress_bar_config(disable=True)
    return prompted


CALL: dict[str, Any] = {"num_inference_steps": 8, "height": 64, "width": 64}
UNMEASURED: dict[str, Any] = {**CALL, "measured": ()}
PROMPTS = ["a", "bb", "ccc", "dddd"]


def test_the_fit_is_that_of_the_pairs_of_consecutive_steps(prompted: PromptedFlux) -> None:
    """The same pairs collected by plain forward hooks, fitted by polyfit, on three prompts of four."""
    seen: list[list[torch.Tensor]] = []
    model = prompted.transformer
    model.transformer_blocks[0].norm1.register_forward_hook(lambda m, a, output: seen.append([output[0]]))
    watch = model.norm_out.register_forward_pre_hook(lambda m, args: seen[-1].append(args[0]))
    x, y = [], []
    for number, prompt in enumerate(PROMPTS[:3]):
        seen.clear()
        prompted(prompt, generator=torch.Generator().manual_seed(number), output_type="latent", **CALL)
        for before, now in pairwise(seen):
            changes = [float((b - a).abs().mean() / a.abs().mean()) for a, b in zip(before, now, strict=True)]
            x.append(changes[0])
            y.append(changes[1])
    watch.remove()
    calibration = teacache.calibrate(prompted, PROMPTS, degree=1, **UNMEASURED)
    fit = calibration.polynomial()
    assert fit.pairs == 3 * 7
    assert fit.fitted_range == pytest.approx((min(x), max(x)), rel=1e-5)
    assert fit.coefficients == pytest.approx(np.polyfit(x, y, 1), rel=1e-3)
    assert fit.held_out_r2 is not None
    assert fit.r2 <= 1


def test_save_and_load_are_exact_and_enable_finds_it(prompted: PromptedFlux, tmp_path: Path) -> None:
    calibration = teacache.calibrate(prompted, PROMPTS, degree=1, target="residual", **UNMEASURED)
    assert calibration.save(tmp_path) == tmp_path / "teacache.json"
    assert teacache.Calibration.load(tmp_path) == calibration
    prompted.transformer.save_pretrained(tmp_path / "transformer")
    prompted.register_modules(transformer=type(prompted.transformer).from_pretrained(tmp_path / "transformer"))
    with teacache.enabled(prompted) as cache:
        prompted("a", output_type="latent", **CALL)
    assert cache.stats.steps == 8


def test_nothing_is_left_on_the_model(prompted: PromptedFlux) -> None:
    teacache.calibrate(prompted, PROMPTS, degree=1, **UNMEASURED)
    assert not any(ATTRIBUTE in name for name, _ in prompted.transformer.named_modules())
    assert not any("forward" in vars(module) for module in prompted.transformer.modules())


def test_too_little_to_fit_is_refused(prompted: PromptedFlux) -> None:
    with pytest.raises(ValueError, match="1 pairs of steps are too few for degree 4"):
        teacache.calibrate(prompted, ["a"], num_inference_steps=2, height=64, width=64)
    with pytest.raises(ValueError, match="at least one prompt"):
        teacache.calibrate(prompted, [])


def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"coefficients": [1]}')
    with pytest.raises(teacache.CoefficientsError, match="is no calibration that teacache wrote"):
        teacache.Calibration.load(tmp_path / "x.json")


def test_a_pipeline_whose_cache_is_on_is_not_calibrated(prompted: PromptedFlux) -> None:
    with teacache.enabled(prompted, teacache.AdaptiveConfig()):
        with pytest.raises(teacache.AlreadyEnabledError, match="enabled already"):
            teacache.calibrate(prompted, PROMPTS, degree=1, **UNMEASURED)
    assert not any("forward" in vars(module) for module in prompted.transformer.modules())
