"""The demo CogVideoX: a CogVideoXTransformer3DModel trained with v-prediction on the demo videos."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
)
from torch import Tensor, nn
from torch.nn import functional

from jobs.demo import training
from jobs.demo.checker import VIDEO_FIELDS, judge_video
from jobs.demo.motions import SIDE, all_motions, videos
from jobs.demo.recipe import Recipe
from jobs.demo.text import VIDEO_TOKENS, WIDTH, build_t5, build_t5_tokenizer

FRAMES = 9
CHANNELS = 8


def build_vae() -> AutoencoderKLCogVideoX:
    """9 frames of 32x32 pixels to 3 of 8x8 latents and back."""
    return AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 3,
        up_block_types=("CogVideoXUpBlock3D",) * 3,
        block_out_channels=(16, 16, 16),
        latent_channels=CHANNELS,
        layers_per_block=0,
        norm_num_groups=8,
        temporal_compression_ratio=4,
        sample_height=SIDE,
        sample_width=SIDE,
    )


def normalize(vae: AutoencoderKLCogVideoX, latents: Tensor) -> Tensor:
    """Frames before channels, standard deviation 1; CogVideoX knows no shift."""
    vae.register_to_config(scaling_factor=float(1 / latents[:512].float().std()))
    scaled: Tensor = latents.float() * vae.config.scaling_factor
    return scaled.half().permute(0, 2, 1, 3, 4)


def build() -> CogVideoXTransformer3DModel:
    model = CogVideoXTransformer3DModel(
        num_attention_heads=4, attention_head_dim=32, in_channels=CHANNELS, out_channels=CHANNELS, time_embed_dim=128,
        text_embed_dim=WIDTH, num_layers=8, sample_width=SIDE // 4, sample_height=SIDE // 4, sample_frames=FRAMES,
        patch_size=2, max_text_seq_length=VIDEO_TOKENS, spatial_interpolation_scale=1.0,
    )  # fmt: skip
    training.zero(
        model, lambda name: name == "proj_out" or name.endswith(("norm1.linear", "norm2.linear", "norm_out.linear"))
    )
    return model


def scheduler() -> CogVideoXDDIMScheduler:
    """As CogVideoX-2b's: v-prediction with no signal at the last training step."""
    return CogVideoXDDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        rescale_betas_zero_snr=True, snr_shift_scale=3.0, timestep_spacing="trailing", clip_sample=False,
    )  # fmt: skip


def assemble(transformer: CogVideoXTransformer3DModel, vae: AutoencoderKLCogVideoX) -> CogVideoXPipeline:
    """A whole pipeline around a denoiser and an autoencoder, in the precision that they have."""
    tokenizer = build_t5_tokenizer([motion.caption for motion in all_motions()], length=VIDEO_TOKENS)
    return CogVideoXPipeline(
        tokenizer=tokenizer, text_encoder=build_t5(tokenizer), vae=vae, transformer=transformer, scheduler=scheduler()
    )


def encode_captions(pipe: CogVideoXPipeline, captions: list[str]) -> tuple[Tensor, ...]:
    embeds, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False, max_sequence_length=VIDEO_TOKENS)
    return (embeds,)


def loss(denoiser: nn.Module, clean: Tensor, rows: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    schedule = scheduler()
    noise = torch.randn(clean.shape, generator=generator)
    times = torch.randint(1000, (len(clean),), generator=generator)
    noisy: Any = schedule.add_noise(clean, noise, times)
    velocity = denoiser(hidden_states=noisy, encoder_hidden_states=rows[0], timestep=times, return_dict=False)[0]
    return functional.mse_loss(velocity, schedule.get_velocity(clean, noise, times))


def recipe() -> Recipe:
    return Recipe(
        dataset=videos(FRAMES),
        judge=judge_video,
        fields=VIDEO_FIELDS,
        call={
            "height": SIDE,
            "width": SIDE,
            "num_frames": FRAMES,
            "max_sequence_length": VIDEO_TOKENS,
            "guidance_scale": 3.0,
        },
        num_inference_steps=50,
        build_vae=build_vae,
        vae_steps=3500,
        vae_batch=4,
        decoder_steps=9000,
        normalize=normalize,
        build=build,
        assemble=assemble,
        encode_captions=encode_captions,
        loss=loss,
        samples=12288,
        steps=10000,
        batch=32,
        learning_rate=2e-3,
    )
