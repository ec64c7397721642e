"""Cosmos 3."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import Cosmos3OmniPipeline, Cosmos3OmniTransformer, UniPCMultistepScheduler
from torch import Tensor

from tests.teacache.tiny.base import Tiny, negatives, quiet
from tests.teacache.tiny.wan import make_vae

VOCABULARY = 32


class Tokenizer:
    """Prompts are seeds; each has five tokens."""

    eos_token_id = 1

    def convert_tokens_to_ids(self, token: str) -> int:
        return 2

    def apply_chat_template(self, conversations: list[dict[str, str]], **arguments: Any) -> SimpleNamespace:
        said = str(conversations[-1]["content"])
        generator = torch.Generator().manual_seed(int(said) if said.isdecimal() else 0)
        return SimpleNamespace(input_ids=torch.randint(VOCABULARY, (5,), generator=generator).tolist())


class Sound(torch.nn.Module):
    """A decoder of sound that leaves latents as they are."""

    config, _hop_size = SimpleNamespace(sampling_rate=96), 4

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.dtype = self.weight.dtype

    def decode(self, latents: Tensor) -> Tensor:
        return latents


def make_pipeline(**config: Any) -> Cosmos3OmniPipeline:
    torch.manual_seed(0)
    transformer = Cosmos3OmniTransformer(
        head_dim=12, hidden_size=24, intermediate_size=32, latent_channel=16, num_attention_heads=2,
        num_hidden_layers=3, num_key_value_heads=1, patch_latent_dim=64, vocab_size=VOCABULARY, rope_axes_dim=(2, 2, 2),
        sound_gen=True, sound_dim=4, **config,
    )  # fmt: skip
    return quiet(Cosmos3OmniPipeline(
        transformer=transformer, text_tokenizer=Tokenizer(), vae=make_vae(), sound_tokenizer=Sound(),
        enable_safety_checker=False,
        scheduler=UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    """Latents of the video and then, unless `enable_sound=False`, those of the sound."""
    (seed,), (negative,) = seeds, negatives(seeds)
    made = pipe(
        str(seed), negative_prompt=str(negative), num_inference_steps=steps, guidance_scale=4.0 if guided else 1.0,
        generator=torch.Generator().manual_seed(seed), output_type="latent", use_system_prompt=False,
        add_resolution_template=False, add_duration_template=False,
        **{"height": 32, "width": 32, "num_frames": 5, "enable_sound": True, **arguments},
    )  # fmt: skip
    return torch.cat([one.flatten()[None] for one in (made.video, made.sound) if one is not None], dim=1)


TINY = {
    "Cosmos3OmniPipeline": Tiny(make=make_pipeline, generate=generate, guidance="calls", batched=False,
                                other_shape={"height": 48}),
}  # fmt: skip
