"""The shipped models: they load as any diffusers pipeline does, are small, and draw what captions say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel

import teacache
from jobs.demo.checker import score
from jobs.demo.scenes import held_out_scenes
from jobs.demo.score import HERE, generate

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def flux() -> FluxPipeline:
    pipe = DiffusionPipeline.from_pretrained(HERE / "flux", dtype=torch.float32, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_flux_is_made_of_the_real_classes(flux: FluxPipeline) -> None:
    parts = (flux, flux.transformer, flux.vae, flux.text_encoder, flux.tokenizer, flux.text_encoder_2)
    kinds = (FluxPipeline, FluxTransformer2DModel, AutoencoderKL, CLIPTextModel, CLIPTokenizer, T5EncoderModel)
    assert all(type(part) is kind for part, kind in zip(parts, kinds, strict=True))
    assert 2e6 < sum(parameter.numel() for parameter in flux.transformer.parameters()) < 4e6


def test_flux_is_small_and_says_how_good_it_is() -> None:
    files = [file for file in (HERE / "flux").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 12 * MEGABYTE
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pkl", ".ckpt")]
    card = (HERE / "flux" / "README.md").read_text()
    assert "| shape |" in card
    assert "minutes on 2 CPU cores" in card
    assert (HERE / "flux" / "samples.png").is_file()


def test_flux_draws_what_held_out_captions_say(flux: FluxPipeline) -> None:
    scenes = held_out_scenes(16, seed=16)
    found = score(generate(flux, scenes), scenes)
    # Of 16: room for one mistake in colours, two in place, five in shape; the figures of 256 stand in the model card.
    assert found.background >= 15 / 16
    assert found.color >= 14 / 16
    assert found.place >= 14 / 16
    assert found.shape >= 11 / 16


def test_flux_comes_with_its_own_calibration(flux: FluxPipeline) -> None:
    calibration = teacache.Calibration.load(HERE / "flux")
    assert calibration.denoiser == "FluxTransformer2DModel"
    with teacache.enabled(flux) as cache:
        generate(flux, held_out_scenes(2, seed=2))
    assert 0 < cache.stats.skipped < cache.stats.steps


def test_the_training_time_is_on_record() -> None:
    stored = json.loads(Path(HERE / "flux" / "training.json").read_text())
    assert stored["seconds"] > 0
