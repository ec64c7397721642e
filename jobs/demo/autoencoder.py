"""The small AutoencoderKL of the demo pictures: 64x64 pixels to 16x16 latents of 4 channels and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from jobs.demo import training
from jobs.demo.scenes import Scene, render, training_scenes

STEPS = 2500
BATCH = 16
KL_WEIGHT = 1e-4


def build() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 48),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def pictures(scenes: list[Scene], rng: np.random.Generator) -> Tensor:
    """Rendered scenes as a tensor (N, 3, SIDE, SIDE) in [-1, 1]."""
    stacked = np.stack([render(scene, rng) for scene in scenes])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)


def draw_scenes(count: int, rng: np.random.Generator) -> list[Scene]:
    scenes = training_scenes()
    return [scenes[index] for index in rng.integers(len(scenes), size=count)]


def train(state_file: Path) -> tuple[AutoencoderKL, float]:
    """Train from nothing or go on; the scale and shift of the latents are measured and stored in the config.

    Returns:
        The autoencoder in float32 and the seconds of training spent.
    """
    torch.manual_seed(0)
    model = build().to(memory_format=torch.channels_last)

    def loss_of(generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        pixels = pictures(draw_scenes(BATCH, rng), rng)
        latents = model.encode(pixels).latent_dist
        noise = torch.randn(latents.mean.shape, generator=generator)
        rebuilt = model.decode(latents.mean + latents.std * noise).sample
        return functional.l1_loss(rebuilt, pixels) + functional.mse_loss(rebuilt, pixels) + KL_WEIGHT * _kl(latents)

    average, seconds = training.train(
        model, loss_of, name="autoencoder", steps=STEPS, learning_rate=2e-3, state_file=state_file, ema_decay=0.99
    )
    model.load_state_dict(average)
    model.eval().requires_grad_(False)
    _measure_latents(model)
    return model, seconds


def _kl(latents: Any) -> Tensor:
    mean, log_variance = latents.mean, latents.logvar
    divergence: Tensor = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return divergence


def _measure_latents(model: AutoencoderKL) -> None:
    """Set scaling_factor and shift_factor so that latents have mean 0 and standard deviation 1."""
    rng = np.random.default_rng(1)
    latents = torch.cat([model.encode(pictures(draw_scenes(64, rng), rng)).latent_dist.mean for _ in range(8)])
    model.register_to_config(shift_factor=float(latents.mean()), scaling_factor=float(1 / latents.std()))
