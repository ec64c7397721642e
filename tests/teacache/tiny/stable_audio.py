"""Stable Audio Open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderOobleck, EDMDPMSolverMultistepScheduler, StableAudioDiTModel, StableAudioPipeline
from diffusers.pipelines.stable_audio import StableAudioProjectionModel
from torch import Tensor

from tests.teacache.tiny.base import Tiny, audio_vae, generators, negatives, quiet, rows
from tests.teacache.tiny.steps import called_back


def make_pipeline() -> StableAudioPipeline:
    torch.manual_seed(0)
    transformer = StableAudioDiTModel(
        sample_size=8, in_channels=4, num_layers=3, attention_head_dim=8, num_key_value_attention_heads=1,
        num_attention_heads=2, out_channels=4, cross_attention_dim=12, time_proj_dim=8, global_states_input_dim=24,
        cross_attention_input_dim=12,
    )  # fmt: skip
    vae = audio_vae(
        AutoencoderOobleck, encoder_hidden_size=4, downsampling_ratios=[1, 2], decoder_channels=4,
        decoder_input_channels=4, channel_multiples=[1, 2], audio_channels=2, sampling_rate=16,
    )  # fmt: skip
    return quiet(StableAudioPipeline(
        vae=vae,
        text_encoder=None, tokenizer=None, transformer=transformer,
        projection_model=StableAudioProjectionModel(text_encoder_dim=12, conditioning_dim=12, min_value=0,
                                                    max_value=32),
        scheduler=EDMDPMSolverMultistepScheduler(solver_order=2, prediction_type="v_prediction", sigma_data=1.0,
                                                 sigma_schedule="exponential"),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             callback_on_step_end: Any = None, **arguments: Any) -> Tensor:  # fmt: skip
    dtype = pipe.transformer.dtype
    if guided:
        arguments["negative_prompt_embeds"] = rows(negatives(seeds), 5, 12, dtype=dtype)
    with called_back(pipe, callback_on_step_end):
        latents: Tensor = pipe(
            prompt_embeds=rows(seeds, 5, 12, dtype=dtype), guidance_scale=7.0 if guided else 1.0,
            num_inference_steps=steps, generator=generators(seeds), output_type="latent", **arguments,
        ).audios  # fmt: skip
    return latents


TINY = {
    "StableAudioPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch",
                                other_shape={"audio_end_in_s": 0.5}),
}  # fmt: skip
