"""ACE-Step 1.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AceStepPipeline, AceStepTransformer1DModel, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ace_step import AceStepConditionEncoder
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, quiet, rows

TEXT_TOKENS = 5


def make_pipeline() -> AceStepPipeline:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "sliding_window": 2,
    }  # fmt: skip
    transformer = AceStepTransformer1DModel(
        num_hidden_layers=3, in_channels=12, audio_acoustic_hidden_dim=4, **sizes,
    )  # fmt: skip
    encoder = AceStepConditionEncoder(
        text_hidden_dim=12, timbre_hidden_dim=4, num_lyric_encoder_hidden_layers=1, num_timbre_encoder_hidden_layers=1,
        **sizes,
    )  # fmt: skip
    pipe = AceStepPipeline(
        vae=None, text_encoder=None, tokenizer=None, transformer=transformer, condition_encoder=encoder,
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1),
    )  # fmt: skip
    pipe.latents_per_second = 1.0

    def encode_prompt(prompt: Sequence[str], **_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """It takes no embeddings; prompts are the seeds of theirs, and of those of the lyrics."""
        seeds, dtype = [int(seed) for seed in prompt], transformer.dtype
        text, lyrics = (rows([seed + more for seed in seeds], TEXT_TOKENS, 12, dtype=dtype) for more in (0, 500))
        mask = torch.ones(len(seeds), TEXT_TOKENS, dtype=torch.long)
        return text, mask, lyrics, mask

    pipe.encode_prompt = encode_prompt
    return quiet(pipe)


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    latents: Tensor = pipe(
        prompt=[str(seed) for seed in seeds], guidance_scale=7.0 if guided else 1.0, num_inference_steps=steps,
        generator=generators(seeds), output_type="latent", **{"audio_duration": 16.0, **arguments},
    ).audios  # fmt: skip
    return latents


# Its norms compute in float32.
TINY = {
    "AceStepPipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", tolerance=0.1,
                            dtypes=(torch.bfloat16,), other_shape={"audio_duration": 21.0}),
}  # fmt: skip
