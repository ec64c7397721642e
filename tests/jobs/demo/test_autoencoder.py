"""Training a demo autoencoder, and its decoder alone."""

from __future__ import annotations

from pathlib import Path

import torch

from jobs.demo import autoencoder
from jobs.demo.scenes import SIDE, pictures


def test_sharpening_leaves_the_latents_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = autoencoder.build_kl((8, 8), latent_channels=4, side=SIDE).eval().requires_grad_(False)
    before = {name: weight.clone() for name, weight in vae.state_dict().items()}
    seconds = autoencoder.sharpen(vae, pictures(), steps=2, batch=2, state_file=tmp_path / "decoder.pt")
    changed = {name.split(".")[0] for name, weight in vae.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {"decoder"}
    assert seconds > 0
    assert not vae.training
    assert not any(weight.requires_grad for weight in vae.parameters())


def test_no_step_of_sharpening_is_none(tmp_path: Path) -> None:
    vae = autoencoder.build_kl((8, 8), latent_channels=4, side=SIDE)
    assert autoencoder.sharpen(vae, pictures(), steps=0, batch=2, state_file=tmp_path / "decoder.pt") == 0.0
    assert not (tmp_path / "decoder.pt").exists()
