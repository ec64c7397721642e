"""Training the autoencoders of the demo models, and the latents that their denoisers learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from jobs.demo import training
from jobs.demo.dataset import Dataset

KL_WEIGHT = 1e-4


def train(
    model: Any, dataset: Dataset[Any], *, steps: int, batch: int, state_file: Path, learning_rate: float = 2e-3
) -> float:
    """Train an autoencoder in place, or go on with it.

    Args:
        model: a diffusers autoencoder: `encode(x).latent_dist` is a Gaussian, `decode(z).sample` is like x.

    Returns:
        The seconds of training spent.
    """

    scenes = dataset.training()

    def loss_of(generator: torch.Generator) -> Tensor:
        pixels = _draw(dataset, scenes, batch, generator)
        latents = model.encode(pixels).latent_dist
        return _difference(_rebuilt(model, latents, generator), pixels) + KL_WEIGHT * _kl(latents)

    average, seconds = training.train(
        model, loss_of, name="autoencoder", steps=steps, learning_rate=learning_rate, state_file=state_file,
        ema_decay=0.99,
    )  # fmt: skip
    model.load_state_dict(average)
    model.eval().requires_grad_(False)
    return seconds


def sharpen(
    model: Any, dataset: Dataset[Any], *, steps: int, batch: int, state_file: Path, learning_rate: float = 2e-3
) -> float:
    """Train the decoder alone, in place, or go on with it: the latents that a denoiser has learnt stay what they are.

    Returns:
        The seconds of training spent.
    """
    if not steps:
        return 0.0
    model.decoder.requires_grad_(True)

    scenes = dataset.training()

    def loss_of(generator: torch.Generator) -> Tensor:
        pixels = _draw(dataset, scenes, batch, generator)
        with torch.no_grad():
            latents = model.encode(pixels).latent_dist
        return _difference(_rebuilt(model, latents, generator), pixels)

    average, seconds = training.train(
        model.decoder, loss_of, name="decoder", steps=steps, learning_rate=learning_rate, state_file=state_file,
        ema_decay=0.99,
    )  # fmt: skip
    model.decoder.load_state_dict(average)
    model.eval().requires_grad_(False)
    return seconds


def _draw(dataset: Dataset[Any], scenes: tuple[Any, ...], batch: int, generator: torch.Generator) -> Tensor:
    rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    return dataset.draw([scenes[index] for index in rng.integers(len(scenes), size=batch)], rng)


def _rebuilt(model: Any, latents: Any, generator: torch.Generator) -> Tensor:
    noise = torch.randn(latents.mean.shape, generator=generator)
    rebuilt: Tensor = model.decode(latents.mean + latents.std * noise).sample
    return rebuilt


def _difference(rebuilt: Tensor, pixels: Tensor) -> Tensor:
    return functional.l1_loss(rebuilt, pixels) + functional.mse_loss(rebuilt, pixels)


def _kl(latents: Any) -> Tensor:
    mean, log_variance = latents.mean, latents.logvar
    divergence: Tensor = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return divergence


@torch.no_grad()
def encode(model: Any, dataset: Dataset[Any], *, count: int, file: Path) -> tuple[Tensor, Tensor]:
    """Latents of `count` training pictures or videos in half precision, as the encoder gives them, kept in `file`.

    Returns:
        The latents and, for each, the index of its scene in `dataset.training()`.
    """
    if not file.exists():
        rng = np.random.default_rng(2)
        scenes = dataset.training()
        indices = torch.from_numpy(rng.integers(len(scenes), size=count))
        latents = [
            model.encode(dataset.draw([scenes[index] for index in chunk.tolist()], rng)).latent_dist.mean.half()
            for chunk in tqdm(torch.split(indices, 64), desc="encoding")
        ]
        torch.save({"latents": torch.cat(latents), "scenes": indices}, file)
    stored = torch.load(file, weights_only=True)
    return stored["latents"], stored["scenes"]


def build_kl(channels: tuple[int, ...], *, latent_channels: int, side: int) -> AutoencoderKL:
    """A small AutoencoderKL for pictures; every level but the last halves them."""
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=side,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return model.to(memory_format=torch.channels_last)


def normalize_kl(model: AutoencoderKL, latents: Tensor) -> Tensor:
    """Latents of mean 0 and standard deviation 1; shift and scale are measured and stored in the config."""
    sample = latents[:512].float()
    model.register_to_config(shift_factor=float(sample.mean()), scaling_factor=float(1 / sample.std()))
    scaled: Tensor = (latents.float() - model.config.shift_factor) * model.config.scaling_factor
    return scaled.half()
