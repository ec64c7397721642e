"""LTX-2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    FlowMatchEulerDiscreteScheduler,
    LTX2ImageToVideoPipeline,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from torch import Tensor

from tests.teacache.tiny.base import Tiny, generators, images, negatives, quiet, rows

TEXT_TOKENS, TEXT_WIDTH = 5, 12

UNGUIDED = {
    "guidance_scale": 1.0, "stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0,
    "audio_guidance_scale": 1.0, "audio_stg_scale": 0.0, "audio_modality_scale": 1.0, "audio_guidance_rescale": 0.0,
}  # fmt: skip


def make_vaes() -> dict[str, Any]:
    """An eighth of height and width, half of the frames, 4 channels; of the sound 2 channels x 2 bins."""
    torch.manual_seed(1)
    return {
        "vae": AutoencoderKLLTX2Video(
            latent_channels=4, block_out_channels=(8,), decoder_block_out_channels=(8,), layers_per_block=(1,),
            decoder_layers_per_block=(1, 1), spatio_temporal_scaling=(True,), decoder_spatio_temporal_scaling=(True,),
            decoder_inject_noise=(False, False), downsample_type=("spatial",), upsample_residual=(False,),
            upsample_factor=(1,), patch_size=4, down_block_types=("LTX2VideoDownBlock3D",),
        ),
        "audio_vae": AutoencoderKLLTX2Audio(
            base_channels=4, ch_mult=(1,), num_res_blocks=1, attn_resolutions=None, resolution=32, latent_channels=2,
            mel_bins=8, mid_block_add_attention=False,
        ),
    }  # fmt: skip


def make_connectors() -> LTX2TextConnectors:
    heads = {f"{stream}_connector_num_attention_heads": 2 for stream in ("video", "audio")}
    widths = {f"{stream}_connector_attention_head_dim": TEXT_WIDTH // 2 for stream in ("video", "audio")}
    layers = {f"{stream}_connector_num_layers": 1 for stream in ("video", "audio")}
    registers = {f"{stream}_connector_num_learnable_registers": None for stream in ("video", "audio")}
    return LTX2TextConnectors(
        caption_channels=TEXT_WIDTH, text_proj_in_factor=1, rope_double_precision=False, rope_type="split",
        **heads, **widths, **layers, **registers,
    )  # fmt: skip


def make_pipeline(pipeline: Any = LTX2Pipeline) -> Any:
    torch.manual_seed(0)
    transformer = LTX2VideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2, audio_attention_head_dim=4,
        audio_cross_attention_dim=8, num_layers=3, caption_channels=TEXT_WIDTH, rope_double_precision=False,
        rope_type="split", perturbed_attn=True,
    )  # fmt: skip
    return quiet(pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), text_encoder=None, tokenizer=None, vocoder=None,
        connectors=make_connectors(), transformer=transformer, **make_vaes(),
    ))  # fmt: skip


def generate(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    """Of each row the latents of the video and then those of the sound, if it has any."""
    dtype = pipe.transformer.dtype
    mask = torch.ones(len(seeds), TEXT_TOKENS, dtype=torch.bool)
    if guided:
        arguments = {
            "guidance_scale": 3.0, "audio_guidance_scale": 3.0,
            "negative_prompt_embeds": rows(negatives(seeds), TEXT_TOKENS, TEXT_WIDTH, dtype=dtype),
            "negative_prompt_attention_mask": mask,
            **arguments,
        }  # fmt: skip
    made = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, TEXT_WIDTH, dtype=dtype), prompt_attention_mask=mask, num_frames=5,
        num_inference_steps=steps, generator=generators(seeds), output_type="latent",
        **{"height": 32, "width": 32, **UNGUIDED, **arguments},
    )  # fmt: skip
    return torch.cat([one.flatten(1) for one in (made.frames, made.audio) if one is not None], dim=1)


def generate_by_sigmas(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
                       **arguments: Any) -> Tensor:  # fmt: skip
    """As the pipelines of the distilled model have it, which know no guidance."""
    mask = torch.ones(len(seeds), TEXT_TOKENS, dtype=torch.bool)
    made = pipe(
        prompt_embeds=rows(seeds, TEXT_TOKENS, TEXT_WIDTH, dtype=pipe.transformer.dtype), prompt_attention_mask=mask,
        sigmas=torch.linspace(1, 0, steps + 1).tolist()[:-1], generator=generators(seeds), output_type="latent",
        **{"num_frames": 7, "height": 32, "width": 32, **arguments},
    )  # fmt: skip
    return torch.cat([made.frames.flatten(1), made.audio.flatten(1)], dim=1)


def generate_from_picture(pipe: Any, *, seeds: Sequence[int] = (0,), height: int = 32, width: int = 32,
                          **arguments: Any) -> Tensor:  # fmt: skip
    picture = images(seeds, height, width, dtype=pipe.transformer.dtype)
    return generate(pipe, seeds=seeds, height=height, width=width, image=picture, image_crf=0, **arguments)


TINY = {
    "LTX2Pipeline": Tiny(make=make_pipeline, generate=generate, guidance="batch", tolerance=0.3),
    "LTX2ImageToVideoPipeline": Tiny(
        make=lambda: make_pipeline(LTX2ImageToVideoPipeline), generate=generate_from_picture, guidance="batch",
        tolerance=0.3,
    ),
}  # fmt: skip
