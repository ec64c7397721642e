"""Kandinsky 6: videos with sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    Kandinsky6TI2VAPipeline,
    Kandinsky6Transformer3DModel,
    MMAudioVAE,
    MMAudioVocoder,
)
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_pipeline() -> Kandinsky6TI2VAPipeline:
    """As released in what its blocks do with the sound (`ca_rope`, `cross_gates`, `fix_modulation`)."""
    torch.manual_seed(0)
    transformer = Kandinsky6Transformer3DModel(
        in_visual_dim=4, out_visual_dim=4, in_text_dim=12, in_text_dim2=10, time_dim=16, model_dim=16, ff_dim=32,
        num_text_blocks=1, num_visual_blocks=3, axes_dims=(2, 2, 4), in_audio_dim=4, out_audio_dim=4, model_dim_a=8,
        time_dim_a=16, ff_dim_a=16, axes_dims_a=(2, 2, 4), ca_rope=True, cross_gates=True, fix_modulation=True,
    )  # fmt: skip
    audio_vae = MMAudioVAE(mel_bins=8, latent_channels=4, hidden_channels=4, layers_per_block=1)
    vocoder = MMAudioVocoder(
        num_mels=8, upsample_initial_channel=8, upsample_rates=(2,), upsample_kernel_sizes=(4,),
        resblock_kernel_sizes=(3,), resblock_dilation_sizes=((1,),),
    )  # fmt: skip
    return quiet(Kandinsky6TI2VAPipeline(
        transformer=transformer, vae=None, text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0), audio_vae=audio_vae, vocoder=vocoder,
    ))  # fmt: skip


def captions(seeds: Sequence[int], prefix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}prompt_embeds": rows(seeds, TEXT_TOKENS, 12),
        f"{prefix}pooled_prompt_embeds": rows(seeds, 10),
    }


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    """Of each row the latents of the video and then, unless `sample_audio=False`, those of the sound."""
    if guided:
        arguments |= captions(negatives(seeds), "negative_")
    made = pipe(
        **captions(seeds), num_frames=5, num_inference_steps=steps, guidance_scale=5.0 if guided else 1.0,
        generator=generators(seeds), output_type="latent", **{"height": 32, "width": 32, **arguments},
    )  # fmt: skip
    return torch.cat([one.flatten(1) for one in (made.frames, made.audio) if one is not None], dim=1)


# Its norms compute in float32, so that float64 is not exact.
TINY = {
    "Kandinsky6TI2VAPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", tolerance=0.2,
                                    dtypes=(torch.bfloat16,)),
}  # fmt: skip
