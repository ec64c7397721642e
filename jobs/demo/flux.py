"""The demo FLUX: a FluxTransformer2DModel of 2.8 million parameters, trained by flow matching on the demo scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from jobs.demo import autoencoder, training
from jobs.demo.scenes import training_scenes
from jobs.demo.text import T5_TOKENS, build_clip, build_clip_tokenizer, build_t5, build_t5_tokenizer

STEPS = 5000
BATCH = 64
PICTURES = 32768
CAPTION_DROPOUT = 0.05  # so that true classifier-free guidance has an unconditional branch to lean on
LATENT_SIDE = 16


def build() -> FluxTransformer2DModel:
    """Random weights, with modulation and output at zero as in DiT (Peebles and Xie 2023, section 3.2, adaLN-Zero)."""
    model = FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=6, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=64, pooled_projection_dim=64, guidance_embeds=False, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and (name == "proj_out" or ".norm" in name or name == "norm_out.linear"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def train(state_folder: Path) -> tuple[FluxPipeline, float]:
    """Train autoencoder and denoiser, or go on with them.

    Returns:
        The pipeline in bfloat16, and the seconds of training spent on both.
    """
    vae, vae_seconds = autoencoder.train(state_folder / "autoencoder.pt")
    latents, scene_indices = _encoded_pictures(vae, state_folder / "latents.pt")
    pipe = assemble(build(), vae)
    prompts, pooled = _encoded_captions(pipe)
    ids = {"txt_ids": torch.zeros(T5_TOKENS, 3), "img_ids": _image_ids()}
    torch.manual_seed(0)
    model = build()

    def loss_of(generator: torch.Generator) -> Tensor:
        picks = torch.randint(len(latents), (BATCH,), generator=generator)
        captions = scene_indices[picks].clone()
        captions[torch.rand(BATCH, generator=generator) < CAPTION_DROPOUT] = len(prompts) - 1
        clean = latents[picks].float()
        noise = torch.randn(clean.shape, generator=generator)
        sigma = torch.sigmoid(0.3 + 1.2 * torch.randn(BATCH, generator=generator))
        noisy = torch.lerp(clean, noise, sigma[:, None, None])
        velocity = model(
            hidden_states=noisy, timestep=sigma, encoder_hidden_states=prompts[captions],
            pooled_projections=pooled[captions], return_dict=False, **ids,
        )[0]  # fmt: skip
        return functional.mse_loss(velocity, noise - clean)

    average, seconds = training.train(
        model, loss_of, name="denoiser", steps=STEPS, learning_rate=1e-3, state_file=state_folder / "denoiser.pt"
    )
    model.load_state_dict(average)
    return assemble(model, vae), vae_seconds + seconds


def assemble(transformer: FluxTransformer2DModel, vae: AutoencoderKL) -> FluxPipeline:
    """A whole pipeline around a denoiser and an autoencoder, in the precision that they have."""
    clip_tokenizer, t5_tokenizer = build_clip_tokenizer(), build_t5_tokenizer()
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=build_clip(clip_tokenizer),
        tokenizer=clip_tokenizer,
        text_encoder_2=build_t5(t5_tokenizer),
        tokenizer_2=t5_tokenizer,
        transformer=transformer.eval(),
    )


@torch.no_grad()
def _encoded_pictures(vae: AutoencoderKL, file: Path) -> tuple[Tensor, Tensor]:
    """Packed latents (PICTURES, tokens, channels) in half precision, and the index of each one's scene."""
    if file.exists():
        stored = torch.load(file, weights_only=True)
        return stored["latents"], stored["scenes"]
    rng = np.random.default_rng(2)
    scenes = training_scenes()
    indices = torch.from_numpy(rng.integers(len(scenes), size=PICTURES))
    chunks = []
    for chunk in tqdm(torch.split(indices, 128), desc="encoding pictures"):
        pixels = autoencoder.pictures([scenes[index] for index in chunk.tolist()], rng)
        mean = vae.encode(pixels).latent_dist.mean
        scaled = (mean - vae.config.shift_factor) * vae.config.scaling_factor
        packed = FluxPipeline._pack_latents(scaled, len(chunk), 4, LATENT_SIDE, LATENT_SIDE)
        chunks.append(packed.half())
    stored = {"latents": torch.cat(chunks), "scenes": indices}
    torch.save(stored, file)
    return stored["latents"], stored["scenes"]


@torch.no_grad()
def _encoded_captions(pipe: FluxPipeline) -> tuple[Tensor, Tensor]:
    """T5 tokens and CLIP's pooled vector of every training caption, and of the empty one last."""
    captions = [scene.caption for scene in training_scenes()] + [""]
    tokens, pooled = [], []
    for start in range(0, len(captions), 512):
        chunk = captions[start : start + 512]
        embeds, pooled_embeds, _ = pipe.encode_prompt(chunk, chunk, max_sequence_length=T5_TOKENS)
        tokens.append(embeds)
        pooled.append(pooled_embeds)
    return torch.cat(tokens), torch.cat(pooled)


def _image_ids() -> Tensor:
    side = LATENT_SIDE // 2
    ids: Tensor = FluxPipeline._prepare_latent_image_ids(1, side, side, torch.device("cpu"), torch.float32)
    return ids
