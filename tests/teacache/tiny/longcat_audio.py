"""LongCat-AudioDiT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import LongCatAudioDiTPipeline, LongCatAudioDiTTransformer, LongCatAudioDiTVae
from torch import Tensor

from tests.teacache.tiny.base import Tiny, audio_vae, generators, negatives, quiet, rows

TEXT_TOKENS = 5


def make_transformer(**config: Any) -> LongCatAudioDiTTransformer:
    torch.manual_seed(0)
    transformer = LongCatAudioDiTTransformer(
        **{"dit_dim": 16, "dit_depth": 3, "dit_heads": 2, "dit_text_dim": 12, "latent_dim": 4, **config}
    )
    for name, parameter in transformer.named_parameters():
        if "adaln_global_mlp" in name or "_out." in name:  # they start at zero
            torch.nn.init.normal_(parameter, std=0.2)
    return transformer


def make_pipeline() -> LongCatAudioDiTPipeline:
    transformer = make_transformer()
    vae = audio_vae(
        LongCatAudioDiTVae, channels=4, c_mults=[1, 2], strides=[2], latent_dim=4, encoder_latent_dim=8,
        downsampling_ratio=2, sample_rate=16,
    )  # fmt: skip
    pipe = LongCatAudioDiTPipeline(vae=vae, text_encoder=None, tokenizer=None, transformer=transformer)

    def encode_prompt(prompt: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
        """It takes no embeddings; prompts are the seeds of theirs, and differ in length."""
        seeds = [int(seed) for seed in prompt]
        lengths = torch.tensor([TEXT_TOKENS - seed % 3 for seed in seeds])
        return rows(seeds, TEXT_TOKENS, 12, dtype=transformer.dtype), lengths

    pipe.encode_prompt = encode_prompt
    return quiet(pipe)


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    latents: Tensor = pipe(
        prompt=[str(seed) for seed in seeds], negative_prompt=[str(seed) for seed in negatives(seeds)],
        guidance_scale=4.0 if guided else 1.0, num_inference_steps=steps, generator=generators(seeds),
        output_type="latent", **{"audio_duration_s": 1.0, **arguments},
    ).audios  # fmt: skip
    return latents


TINY = {
    "LongCatAudioDiTPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", tolerance=0.8,
                                    other_shape={"audio_duration_s": 1.5}),
}  # fmt: skip
