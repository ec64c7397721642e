"""The demo FLUX: a FluxTransformer2DModel of 2.8 million parameters, trained by flow matching on the demo pictures."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn import functional

from jobs.demo import autoencoder, training
from jobs.demo.checker import PICTURE_FIELDS, judge_picture
from jobs.demo.recipe import Recipe, logit_normal
from jobs.demo.scenes import SIDE, all_scenes, pictures
from jobs.demo.text import T5_TOKENS, WIDTH, build_clip, build_clip_tokenizer, build_t5, build_t5_tokenizer

CHANNELS = 4
LATENT_SIDE = SIDE // 4


def build_vae() -> AutoencoderKL:
    """64x64 pixels to 16x16 latents and back."""
    return autoencoder.build_kl((16, 32, 48), latent_channels=CHANNELS, side=SIDE)


def normalize(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Mean 0, standard deviation 1, and 2x2 of them packed into one token."""
    scaled = autoencoder.normalize_kl(vae, latents)
    packed: Tensor = FluxPipeline._pack_latents(scaled, len(scaled), CHANNELS, LATENT_SIDE, LATENT_SIDE)
    return packed


def build() -> FluxTransformer2DModel:
    model = FluxTransformer2DModel(
        in_channels=4 * CHANNELS, num_layers=2, num_single_layers=6, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, guidance_embeds=False, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    training.zero(model, lambda name: name in ("proj_out", "norm_out.linear") or ".norm" in name)
    return model


def assemble(transformer: FluxTransformer2DModel, vae: AutoencoderKL) -> FluxPipeline:
    """A whole pipeline around a denoiser and an autoencoder, in the precision that they have."""
    captions = [scene.caption for scene in all_scenes()]
    clip_tokenizer, t5_tokenizer = build_clip_tokenizer(captions), build_t5_tokenizer(captions, length=T5_TOKENS)
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=build_clip(clip_tokenizer),
        tokenizer=clip_tokenizer,
        text_encoder_2=build_t5(t5_tokenizer),
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    )


def encode_captions(pipe: FluxPipeline, captions: list[str]) -> tuple[Tensor, ...]:
    """T5's tokens and CLIP's pooled vector."""
    chunks = [captions[start : start + 512] for start in range(0, len(captions), 512)]
    rows = [pipe.encode_prompt(chunk, chunk, max_sequence_length=T5_TOKENS) for chunk in chunks]
    return torch.cat([tokens for tokens, _, _ in rows]), torch.cat([pooled for _, pooled, _ in rows])


def loss(denoiser: nn.Module, clean: Tensor, rows: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    noise = torch.randn(clean.shape, generator=generator)
    sigma = logit_normal(len(clean), generator)
    side = LATENT_SIDE // 2
    velocity = denoiser(
        hidden_states=torch.lerp(clean, noise, sigma[:, None, None]), timestep=sigma, encoder_hidden_states=rows[0],
        pooled_projections=rows[1], txt_ids=torch.zeros(T5_TOKENS, 3), return_dict=False,
        img_ids=FluxPipeline._prepare_latent_image_ids(1, side, side, torch.device("cpu"), torch.float32),
    )[0]  # fmt: skip
    return functional.mse_loss(velocity, noise - clean)


def recipe() -> Recipe:
    return Recipe(
        dataset=pictures(),
        judge=judge_picture,
        fields=PICTURE_FIELDS,
        call={"height": SIDE, "width": SIDE, "max_sequence_length": T5_TOKENS},
        num_inference_steps=28,
        build_vae=build_vae,
        vae_steps=2500,
        vae_batch=16,
        normalize=normalize,
        build=build,
        assemble=assemble,
        encode_captions=encode_captions,
        loss=loss,
        samples=32768,
        steps=5000,
        batch=64,
        learning_rate=1e-3,
        caption_dropout=0.05,
    )
