"""Kandinsky 6 makes videos with sound and without."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import teacache
from teacache.registry import MODELS
from tests.teacache.families.by_hand import EVERY_STEP, changes
from tests.teacache.plain import plainly_cached
from tests.teacache.test_models import steps_computed
from tests.teacache.tiny import kandinsky_6_ti2va
from tests.teacache.tiny.base import rows

KANDINSKY6 = MODELS["Kandinsky6Transformer3DModel"]
STEPS = 7


@pytest.mark.parametrize("sample_audio", [True, False], ids=["sound", "silent"])
def test_a_skipped_step_is_stack_input_plus_residual(sample_audio: bool) -> None:
    pipe = kandinsky_6_ti2va.make_pipeline()
    arguments: dict[str, Any] = {"seeds": (1, 2), "steps": STEPS, "guided": True, "sample_audio": sample_audio}
    with teacache.enabled(pipe, teacache.ScheduleConfig(steps=(0, 1, 4))) as cache:
        made = kandinsky_6_ti2va.generate(pipe, **arguments)
    assert steps_computed(cache.stats) == {(0, 1, 4)}
    with plainly_cached(pipe.transformer, KANDINSKY6, (0, 1, 4), branches=2, order=1):
        expected = kandinsky_6_ti2va.generate(pipe, **arguments)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_sound_that_comes_or_goes_in_mid_run_starts_afresh() -> None:
    transformer = kandinsky_6_ti2va.make_pipeline().transformer
    sound = rows((1,), 6, 4)
    with teacache.enabled(transformer, teacache.ScheduleConfig(steps=(0,))) as cache:
        for step, audio in enumerate([sound, sound, None, None, sound, sound, sound[:, :5]]):
            answer = transformer(
                hidden_states=rows((2,), 2, 4, 4, 9), audio_hidden_states=audio, return_dict=False,
                encoder_hidden_states=rows((3,), 5, 12), pooled_projections=rows((4,), 10),
                timestep=torch.tensor([900.0 - 100 * step]),
            )  # fmt: skip
            assert len(answer) == 1 if audio is None else answer[1].shape == audio.shape
    assert steps_computed(cache.stats) == {(0, 2, 4, 6)}


def test_the_indicator_is_what_the_first_blocks_attention_to_the_video_takes_in() -> None:
    pipe = kandinsky_6_ti2va.make_pipeline()
    attention = pipe.transformer.visual_transformer_blocks[0].video_dec_block.self_attention
    seen: list[torch.Tensor] = []
    handle = attention.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with teacache.enabled(pipe, EVERY_STEP) as cache:
        kandinsky_6_ti2va.generate(pipe, steps=STEPS)
    handle.remove()
    assert len(seen) == STEPS
    assert list(cache.stats.calls[0].distances[0][1:-1]) == changes(seen)[:-1]


def test_positions_are_not_taken_for_rows_where_a_sound_has_as_many_tokens_as_there_are_samples() -> None:
    pipe = kandinsky_6_ti2va.make_pipeline()

    def made(seeds: tuple[int, ...]) -> tuple[torch.Tensor, list[tuple[bool, ...]]]:
        with teacache.enabled(pipe, teacache.AdaptiveConfig(tolerance=0.3)) as cache:
            latents = kandinsky_6_ti2va.generate(pipe, seeds=seeds, audio_latents=rows(seeds, 4, 2))
        return latents, list(cache.stats.calls[0].computed)

    latents, decisions = made((1, 2))
    assert len(set(decisions)) == 2
    for index, seed in enumerate((1, 2)):
        (alone,), (own,) = made((seed,))
        assert decisions[index] == own
        torch.testing.assert_close(latents[index], alone, rtol=1e-4, atol=1e-4)
