"""What differs between the demo models, and the training that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jobs.demo import autoencoder, training
from jobs.demo.dataset import Dataset, Pixels

CAPTION_DROPOUT = 0.1  # so that classifier-free guidance has an unconditional branch to lean on


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One demo model: what it learns from, of which parts it is made, and how it is called.

    `normalize(vae, latents)` writes the latents' scale into the autoencoder's config and gives them as the denoiser
    takes them; `encode_captions(pipe, captions)` gives tensors with one row per caption; `loss(denoiser, clean, rows,
    generator)` draws noise and times.
    """

    dataset: Dataset[Any]
    judge: Callable[[Pixels], Any]
    fields: tuple[str, ...]
    call: dict[str, Any]
    num_inference_steps: int
    build_vae: Callable[[], Any]
    vae_steps: int
    vae_batch: int
    normalize: Callable[[Any, Tensor], Tensor]
    build: Callable[[], nn.Module]
    assemble: Callable[[Any, Any], Any]
    encode_captions: Callable[[Any, list[str]], tuple[Tensor, ...]]
    loss: Callable[[nn.Module, Tensor, tuple[Tensor, ...], torch.Generator], Tensor]
    samples: int
    steps: int
    batch: int
    learning_rate: float
    decoder_steps: int = 0
    caption_dropout: float = CAPTION_DROPOUT


def train(recipe: Recipe, state_folder: Path) -> tuple[Any, float]:
    """Train autoencoder, decoder alone and denoiser, or go on with them.

    Returns:
        The pipeline in single precision, and the seconds of training spent on both.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, after the state was written.
    """
    torch.manual_seed(0)
    vae = recipe.build_vae()
    vae_seconds = autoencoder.train(
        vae, recipe.dataset, steps=recipe.vae_steps, batch=recipe.vae_batch, state_file=state_folder / "autoencoder.pt"
    )
    latents, scenes = autoencoder.encode(vae, recipe.dataset, count=recipe.samples, file=state_folder / "latents.pt")
    latents = recipe.normalize(vae, latents)
    decoder_seconds = autoencoder.sharpen(
        vae, recipe.dataset, steps=recipe.decoder_steps, batch=recipe.vae_batch, state_file=state_folder / "decoder.pt"
    )
    torch.manual_seed(0)
    denoiser = recipe.build()
    with torch.no_grad():
        captions = [*(scene.caption for scene in recipe.dataset.training()), ""]
        rows = recipe.encode_captions(recipe.assemble(denoiser, vae), captions)
    denoiser.train()

    def loss_of(generator: torch.Generator) -> Tensor:
        picks = torch.randint(len(latents), (recipe.batch,), generator=generator)
        captions = scenes[picks].clone()
        captions[torch.rand(recipe.batch, generator=generator) < recipe.caption_dropout] = -1
        return recipe.loss(denoiser, latents[picks].float(), tuple(row[captions] for row in rows), generator)

    average, seconds = training.train(
        denoiser, loss_of, name="denoiser", steps=recipe.steps, learning_rate=recipe.learning_rate,
        state_file=state_folder / "denoiser.pt",
    )  # fmt: skip
    denoiser.load_state_dict(average)
    return recipe.assemble(denoiser.eval(), vae), vae_seconds + decoder_seconds + seconds


def logit_normal(count: int, generator: torch.Generator) -> Tensor:
    """Shares of noise in (0, 1), most of them in the middle (Esser et al. 2024, section 3.1), somewhat noisier."""
    return torch.sigmoid(0.3 + 1.2 * torch.randn(count, generator=generator))
