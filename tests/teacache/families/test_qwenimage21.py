"""Qwen-Image 2.1, whose first step keeps the keys and values of what is the same at every step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_qwenimage21 import QwenImage21FlexAttnProcessor, QwenImage21KVCache
from torch import Tensor

import teacache
from teacache.registry import model_for
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import EXTREME, STEPS, steps_computed
from tests.teacache.test_samples import check
from tests.teacache.tiny import TINY
from tests.teacache.tiny.base import rows
from tests.teacache.tiny.qwenimage21 import TEXT_TOKENS

tiny = TINY["QwenImage21Pipeline"]


@pytest.fixture
def pipe() -> Any:
    return tiny.make()


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("method", ["TeaCache", "TeaCache, order 1", "Adaptive"])
def test_rows_that_are_computed_look_at_their_own_text(method: str, keeps: bool) -> None:
    assert check(tiny, method, (1, 2, 3), [(3, 1, 2)], use_kv_cache=keeps) > 1


@torch.no_grad()
def denoise(transformer: Any, keeps: bool) -> list[Tensor]:
    """By hand, with a picture of 2x2 tokens in the middle of the text, before one of 4x4 that is made."""
    slots = torch.zeros(1, TEXT_TOKENS + 4, dtype=torch.bool)
    slots[0, [2, *range(TEXT_TOKENS, TEXT_TOKENS + 4)]] = True
    kept, target, outputs = QwenImage21KVCache(3) if keeps else None, rows([3], 16, 64), []
    for step in range(STEPS):
        output = transformer(
            hidden_states=torch.cat([rows([2], 4, 64), target], dim=1), img_shapes=[[(1, 2, 2), (1, 4, 4)]],
            encoder_hidden_states=rows([1], TEXT_TOKENS, 12), timestep=torch.tensor([1.0 - step / STEPS]),
            img_mask=slots, kv_cache=kept, kv_cache_mode=("cached" if step else "extract") if keeps else None,
            return_dict=False,
        )[0][:, -16:]  # fmt: skip
        target = target - output / STEPS
        outputs.append(output)
    return outputs


@pytest.mark.parametrize("keeps", [True, False])
def test_of_a_stack_that_takes_text_and_given_pictures_the_target_is_cached(pipe: Any, keeps: bool) -> None:
    transformer, config = pipe.transformer, teacache.ScheduleConfig(steps=(0, 2, 5), order=0)
    with teacache.enabled(transformer, config) as cache:
        found = denoise(transformer, keeps)
    assert steps_computed(cache.stats) == {(0, 2, 5)}
    with plainly_cached(transformer, model_for(transformer), (0, 2, 5)):
        expected = denoise(transformer, keeps)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.equal(found[-1], denoise(transformer, keeps)[-1])


def test_no_schedule_is_measured_in_which_a_branch_is_missing_at_first(pipe: Any) -> None:
    """It would have no keys and values to look at later."""

    def encode_prompt(prompt: Any, **others: Any) -> tuple[Tensor, None, Tensor]:
        seeds = [int(each) for each in prompt]
        return rows(seeds, TEXT_TOKENS, 12), None, torch.zeros(len(seeds), TEXT_TOKENS, dtype=torch.bool)

    pipe.encode_prompt = encode_prompt
    calibration = teacache.calibrate(
        pipe, ["1"], num_inference_steps=8, measured=(2,), negative_prompt=["3"], true_cfg_scale=4.0, height=64,
        width=64,
    )  # fmt: skip
    (schedule,) = calibration.measured["transformer"]
    assert (schedule.branches, schedule.unguided) == (2, ())


def test_flex_attention_is_refused_as_its_mask_is_for_whole_batches(pipe: Any) -> None:
    pipe.transformer.set_attn_processor(QwenImage21FlexAttnProcessor())
    with pytest.raises(teacache.UnsupportedModelError, match="set_attn_processor"):
        teacache.enable(pipe, EXTREME)
