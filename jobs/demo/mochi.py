"""The demo Mochi: a MochiTransformer3DModel trained by flow matching on the demo videos."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKLMochi,
    FlowMatchEulerDiscreteScheduler,
    MochiPipeline,
    MochiTransformer3DModel,
)
from torch import Tensor, nn
from torch.nn import functional

from jobs.demo import training
from jobs.demo.checker import VIDEO_FIELDS, judge_video
from jobs.demo.motions import SIDE, all_motions, videos
from jobs.demo.recipe import Recipe, logit_normal
from jobs.demo.text import VIDEO_TOKENS, WIDTH, build_t5, build_t5_tokenizer

FRAMES = 13
CHANNELS = 12  # MochiPipeline has this number written into it


def build_vae() -> AutoencoderKLMochi:
    """13 frames of 32x32 pixels to 3 of 4x4 latents and back; channels are multiples of its norms' 32 groups."""
    return AutoencoderKLMochi(
        encoder_block_out_channels=(32, 32, 64, 64),
        decoder_block_out_channels=(32, 32, 64, 64),
        latent_channels=CHANNELS,
        layers_per_block=(0, 0, 1, 1, 1),
        add_attention_block=(False,) * 5,
    )


def normalize(vae: AutoencoderKLMochi, latents: Tensor) -> Tensor:
    """Every channel to mean 0 and standard deviation 1."""
    sample = latents[:512].float()
    mean, std = sample.mean(dim=(0, 2, 3, 4)), sample.std(dim=(0, 2, 3, 4))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    return ((latents.float() - mean.view(1, -1, 1, 1, 1)) / std.view(1, -1, 1, 1, 1)).half()


def build() -> MochiTransformer3DModel:
    model = MochiTransformer3DModel(
        patch_size=1, num_attention_heads=4, attention_head_dim=32, num_layers=8, pooled_projection_dim=WIDTH,
        in_channels=CHANNELS, text_embed_dim=WIDTH, time_embed_dim=128, max_sequence_length=VIDEO_TOKENS,
    )  # fmt: skip
    # Positions count frames, but rows and columns in steps of 192 / 4 = 48: about one radian a step on each axis.
    nn.init.normal_(model.pos_frequencies)
    model.pos_frequencies.data[1:] /= model.rope.target_area**0.5 / (SIDE // 8)
    training.zero(model, lambda name: name == "proj_out" or (".linear" in name and "norm" in name))
    return model


def assemble(transformer: MochiTransformer3DModel, vae: AutoencoderKLMochi) -> MochiPipeline:
    """A whole pipeline around a denoiser and an autoencoder, in the precision that they have."""
    tokenizer = build_t5_tokenizer([motion.caption for motion in all_motions()], length=VIDEO_TOKENS)
    return MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=vae,
        text_encoder=build_t5(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def encode_captions(pipe: MochiPipeline, captions: list[str]) -> tuple[Tensor, ...]:
    embeds, mask, _, _ = pipe.encode_prompt(
        captions, do_classifier_free_guidance=False, max_sequence_length=VIDEO_TOKENS
    )
    return embeds, mask


def loss(denoiser: nn.Module, clean: Tensor, rows: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Mochi's time runs from 0, all noise, to 1000, the video."""
    noise = torch.randn(clean.shape, generator=generator)
    sigma = logit_normal(len(clean), generator)
    velocity = denoiser(
        hidden_states=torch.lerp(clean, noise, sigma.view(-1, 1, 1, 1, 1)), timestep=1000 * (1 - sigma),
        encoder_hidden_states=rows[0], encoder_attention_mask=rows[1], return_dict=False,
    )[0]  # fmt: skip
    return functional.mse_loss(velocity, clean - noise)


def recipe() -> Recipe:
    return Recipe(
        dataset=videos(FRAMES),
        judge=judge_video,
        fields=VIDEO_FIELDS,
        call={"height": SIDE, "width": SIDE, "num_frames": FRAMES, "max_sequence_length": VIDEO_TOKENS},
        num_inference_steps=50,
        build_vae=build_vae,
        vae_steps=5000,
        vae_batch=4,
        decoder_steps=13000,
        normalize=normalize,
        build=build,
        assemble=assemble,
        encode_captions=encode_captions,
        loss=loss,
        samples=6144,
        steps=3000,
        batch=32,
        learning_rate=2e-3,
    )
