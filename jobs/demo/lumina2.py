"""The demo Lumina2: a Lumina2Transformer2DModel trained by flow matching on the demo pictures."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel
from torch import Tensor, nn
from torch.nn import functional

from jobs.demo import autoencoder, training
from jobs.demo.checker import PICTURE_FIELDS, judge_picture
from jobs.demo.recipe import Recipe, logit_normal
from jobs.demo.scenes import SIDE, all_scenes, pictures
from jobs.demo.text import GEMMA_TOKENS, WIDTH, build_gemma, build_gemma_tokenizer

CHANNELS = 16
FLUX = Path(__file__).parent / "flux"


def build_vae() -> AutoencoderKL:
    """64x64 pixels to 8x8 latents and back: the factor of 8 is written into Lumina2Pipeline.

    All but the innermost level starts from the demo FLUX's autoencoder, which has one level less.
    """
    vae = autoencoder.build_kl((16, 32, 48, 48), latent_channels=CHANNELS, side=SIDE)
    own = vae.state_dict()
    for name, weight in AutoencoderKL.from_pretrained(FLUX / "vae", torch_dtype=torch.float32).state_dict().items():
        level = re.sub(r"(?<=decoder.up_blocks.)\d", lambda found: str(int(found[0]) + 1), name)
        if own[level].shape == weight.shape:
            own[level].copy_(weight)
    return vae


def build() -> Lumina2Transformer2DModel:
    model = Lumina2Transformer2DModel(
        sample_size=SIDE // 8, patch_size=1, in_channels=CHANNELS, hidden_size=128, num_layers=6,
        num_refiner_layers=1, num_attention_heads=4, num_kv_heads=4, multiple_of=32, ffn_dim_multiplier=0.75,
        axes_dim_rope=(8, 12, 12), axes_lens=(64, 16, 16), cap_feat_dim=WIDTH,
    )  # fmt: skip
    training.zero(model, lambda name: name.endswith("norm1.linear") or name.startswith("norm_out."))
    return model


def assemble(transformer: Lumina2Transformer2DModel, vae: AutoencoderKL) -> Lumina2Pipeline:
    """A whole pipeline around a denoiser and an autoencoder, in the precision that they have."""
    tokenizer = build_gemma_tokenizer(scene.caption for scene in all_scenes())
    return Lumina2Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=build_gemma(tokenizer),
        tokenizer=tokenizer,
    )


def encode_captions(pipe: Lumina2Pipeline, captions: list[str]) -> tuple[Tensor, ...]:
    """Gemma's tokens and masks; the pipeline puts its system prompt before every caption, not before the empty one."""
    embeds, masks, empty, empty_mask = pipe.encode_prompt(captions, max_sequence_length=GEMMA_TOKENS)
    is_empty = torch.tensor([not caption for caption in captions])
    return torch.where(is_empty[:, None, None], empty, embeds), torch.where(is_empty[:, None], empty_mask, masks)


def loss(denoiser: nn.Module, clean: Tensor, rows: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Lumina2's time runs from 0, all noise, to 1, the picture."""
    noise = torch.randn(clean.shape, generator=generator)
    sigma = logit_normal(len(clean), generator)
    velocity = denoiser(
        hidden_states=torch.lerp(clean, noise, sigma[:, None, None, None]), timestep=1 - sigma,
        encoder_hidden_states=rows[0], encoder_attention_mask=rows[1], return_dict=False,
    )[0]  # fmt: skip
    return functional.mse_loss(velocity, clean - noise)


def recipe() -> Recipe:
    return Recipe(
        dataset=pictures(),
        judge=judge_picture,
        fields=PICTURE_FIELDS,
        call={"height": SIDE, "width": SIDE, "max_sequence_length": GEMMA_TOKENS},
        num_inference_steps=28,
        build_vae=build_vae,
        vae_steps=2400,
        vae_batch=8,
        normalize=autoencoder.normalize_kl,
        build=build,
        assemble=assemble,
        encode_captions=encode_captions,
        loss=loss,
        samples=16384,
        steps=3000,
        batch=32,
        learning_rate=2e-3,
    )
