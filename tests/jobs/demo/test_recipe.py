"""Every recipe trains: a few steps of autoencoder and denoiser, stopped and gone on with, give a pipeline that runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.demo.models import RECIPES
from jobs.demo.recipe import train
from jobs.demo.score import generate

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning")  # MochiRoPE asks for float32


@pytest.mark.parametrize("model", RECIPES)
def test_a_short_training_gives_a_pipeline(model: str, tmp_path: Path) -> None:
    recipe = RECIPES[model]()
    dataset = replace(recipe.dataset, scenes=recipe.dataset.scenes[:64])
    recipe = replace(recipe, dataset=dataset, vae_steps=1, vae_batch=2, decoder_steps=1, samples=4, steps=2, batch=3)
    pipe, seconds = train(recipe, tmp_path)
    again, same_seconds = train(recipe, tmp_path)
    assert seconds == same_seconds > 0
    weights, others = pipe.transformer.state_dict(), again.transformer.state_dict()
    assert all(torch.equal(weights[key], others[key]) for key in weights)
    pipe.set_progress_bar_config(disable=True)
    sample = generate(pipe, recipe, recipe.dataset.held_out(2, seed=0), steps=2)[1]
    assert sample.shape == recipe.dataset.render(recipe.dataset.scenes[0], np.random.default_rng(0)).shape


@pytest.mark.parametrize("model", RECIPES)
def test_a_fresh_denoiser_predicts_nothing(model: str) -> None:
    """Blocks are the identity and the output is zero, so that the first loss is that of the target itself."""
    recipe = RECIPES[model]()
    torch.manual_seed(0)
    denoiser, vae = recipe.build(), recipe.build_vae()
    with torch.no_grad():
        latents = vae.encode(recipe.dataset.draw(recipe.dataset.scenes[:4], np.random.default_rng(0))).latent_dist.mean
        rows = recipe.encode_captions(recipe.assemble(denoiser, vae), ["a red circle"] * 3 + [""])
        clean = recipe.normalize(vae, latents).float()
        losses = [recipe.loss(denoiser, clean, [rows, tuple(row.flip(0) for row in rows)][turn],
                              torch.Generator().manual_seed(0)) for turn in (0, 1)]  # fmt: skip
    # Noise and latents have standard deviation 1: the flow has variance 2, a v-prediction 1.
    assert losses[0] == losses[1] == pytest.approx(1.0 if model == "cogvideox" else 2.0, rel=0.2)
