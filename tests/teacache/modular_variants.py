"""Modular pipelines of known models, made of the parts of a sibling's tiny pipeline: from embeddings to latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import diffusers
import torch
from diffusers.modular_pipelines.anima.modular_blocks_anima import AnimaCoreDenoiseStep
from diffusers.modular_pipelines.cosmos.modular_blocks_cosmos3 import Cosmos3VisionCoreDenoiseStep
from diffusers.modular_pipelines.cosmos.modular_blocks_cosmos3_distilled import Cosmos3DistilledVisionCoreDenoiseStep
from diffusers.modular_pipelines.echo.modular_blocks_echo import EchoDenoiseStep
from diffusers.modular_pipelines.ernie_image.modular_blocks_ernie_image import ErnieImageCoreDenoiseStep
from diffusers.modular_pipelines.flux.modular_blocks_flux_kontext import FluxKontextCoreDenoiseStep
from diffusers.modular_pipelines.flux2.modular_blocks_flux2 import Flux2CoreDenoiseStep
from diffusers.modular_pipelines.flux2.modular_blocks_flux2_klein import Flux2KleinCoreDenoiseStep
from diffusers.modular_pipelines.flux2.modular_blocks_flux2_klein_base import Flux2KleinBaseCoreDenoiseStep
from diffusers.modular_pipelines.helios.modular_blocks_helios import HeliosCoreDenoiseStep
from diffusers.modular_pipelines.helios.modular_blocks_helios_pyramid import HeliosPyramidCoreDenoiseStep
from diffusers.modular_pipelines.helios.modular_blocks_helios_pyramid_distilled import (
    HeliosPyramidDistilledCoreDenoiseStep,
)
from diffusers.modular_pipelines.hunyuan_video1_5.modular_blocks_hunyuan_video1_5 import HunyuanVideo15CoreDenoiseStep
from diffusers.modular_pipelines.ideogram4.modular_blocks_ideogram4 import Ideogram4CoreDenoiseStep
from diffusers.modular_pipelines.krea2.modular_blocks_krea2 import Krea2CoreDenoiseStep
from diffusers.modular_pipelines.krea2.modular_blocks_krea2_turbo import Krea2TurboCoreDenoiseStep
from diffusers.modular_pipelines.ltx.modular_blocks_ltx import LTXCoreDenoiseStep
from diffusers.modular_pipelines.ltx2.modular_blocks_ltx2 import LTX2CoreDenoiseStep
from diffusers.modular_pipelines.qwenimage.modular_blocks_qwenimage_edit import QwenImageEditCoreDenoiseStep
from diffusers.modular_pipelines.qwenimage.modular_blocks_qwenimage_edit_plus import QwenImageEditPlusCoreDenoiseStep
from diffusers.modular_pipelines.qwenimage.modular_blocks_qwenimage_layered import QwenImageLayeredCoreDenoiseStep
from diffusers.modular_pipelines.qwenimage21.modular_blocks_qwenimage21 import QwenImage21CoreDenoiseStep
from diffusers.modular_pipelines.qwenimage21.modular_blocks_qwenimage21_turbo import QwenImage21TurboCoreDenoiseStep
from diffusers.modular_pipelines.stable_diffusion_3.modular_blocks_stable_diffusion_3 import (
    StableDiffusion3T2ICoreDenoiseStep,
)
from diffusers.modular_pipelines.wan.modular_blocks_wan22 import Wan22CoreDenoiseStep
from diffusers.modular_pipelines.wan.modular_blocks_wan22_i2v import Wan22Image2VideoCoreDenoiseStep
from diffusers.modular_pipelines.wan.modular_blocks_wan_i2v import WanImage2VideoCoreDenoiseStep
from diffusers.modular_pipelines.wan.modular_blocks_wan_vace import Wan22VaceCoreDenoiseStep
from diffusers.modular_pipelines.wan_animate_2.modular_blocks_wan_animate_2_distilled import (
    WanAnimate2DistilledCoreDenoiseStep,
)
from diffusers.modular_pipelines.z_image.modular_blocks_z_image import ZImageCoreDenoiseStep

from tests.teacache.given import Given
from tests.teacache.parts import changed
from tests.teacache.tiny import ernie_image, flux, hunyuan, krea2, ltx2, modular, qwenimage, wan_animate_2, z_image
from tests.teacache.tiny.base import negatives, of_blocks, rows
from tests.teacache.variant import BY_CALLS, IN_TWO_STAGES, Variant

TOKENS = 5


def both(prompts: Callable[[Sequence[int], str], Mapping[str, Any]], **further: Any) -> Given:
    """Prompts and negative ones, from seeds and the beginning of their names, and further arguments."""

    def given(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
        return {**prompts(seeds, ""), **prompts(negatives(seeds), "negative_"), **further}

    return given


def text(seeds: Sequence[int], prefix: str) -> dict[str, Any]:
    return {f"{prefix}prompt_embeds": rows(seeds, TOKENS, 12)}


def masked_text(seeds: Sequence[int], prefix: str, mask: str = "prompt_attention_mask") -> dict[str, Any]:
    return {**text(seeds, prefix), f"{prefix}{mask}": torch.ones(len(seeds), TOKENS, dtype=torch.bool)}


def text_and_pictures(seeds: Sequence[int], prefix: str) -> dict[str, Any]:
    """No token stands for a picture."""
    pad = torch.zeros(len(seeds), TOKENS, dtype=torch.bool)
    return {**masked_text(seeds, prefix, "prompt_embeds_mask"), f"{prefix}image_pad_mask": pad}


def pooled_text(seeds: Sequence[int], prefix: str) -> dict[str, Any]:
    return {**text(seeds, prefix), f"{prefix}pooled_prompt_embeds": rows(seeds, 10)}


def connected(seeds: Sequence[int], prefix: str) -> dict[str, Any]:
    """What the connectors of LTX-2 make of a prompt."""
    embeds = {f"{prefix}connector_{stream}prompt_embeds": rows(seeds, TOKENS, 12) for stream in ("", "audio_")}
    return {**embeds, f"{prefix}connector_attention_mask": torch.ones(len(seeds), TOKENS, dtype=torch.bool)}


def read_twice(seeds: Sequence[int], prefix: str) -> dict[str, Any]:
    """By two text encoders, of which Anima's conditioner makes one prompt."""
    mask = torch.ones(len(seeds), TOKENS, dtype=torch.long)
    tokens = torch.tensor([[seed % 7 + token for token in range(TOKENS)] for seed in seeds])
    return {
        f"{prefix}qwen_prompt_embeds": rows(seeds, TOKENS, 12), f"{prefix}qwen_attention_mask": mask,
        f"{prefix}t5_input_ids": tokens, f"{prefix}t5_attention_mask": mask,
    }  # fmt: skip


def listed(captions: Callable[[Sequence[int], torch.dtype], Any]) -> Given:
    """As a list of prompts of different lengths."""
    return both(lambda seeds, prefix: {f"{prefix}prompt_embeds": captions(seeds, torch.float32)})


def named(captions: Callable[[Sequence[int], torch.dtype, str], Mapping[str, Any]]) -> Given:
    return both(lambda seeds, prefix: captions(seeds, torch.float32, prefix))


def picture(height: int, width: int, *shape: int) -> torch.Tensor:
    """One for all, as the VAE gives it."""
    return rows((5,), *shape, height // 8, width // 8)


def kontext(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    tokens, pooled = flux.embeddings(seeds)
    latents = picture(height, width, 4).expand(len(seeds), -1, -1, -1)
    return {
        "prompt_embeds": tokens, "pooled_prompt_embeds": pooled, "max_area": height * width,
        "image_latents": latents,
    }  # fmt: skip


def edit(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**named(qwenimage.captions)(seeds, height, width), "image_latents": picture(height, width, 4, 1)}


def edit_plus(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**edit(seeds, height, width), "image_latents": [picture(height, width, 4, 1)]}


def layers(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**edit(seeds, height, width), "image_latents": picture(height, width, 1, 4), "layers": 2}


film = both(text, num_frames=5)


def from_picture(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    condition = rows(seeds, 20, 2, height // 8, width // 8)
    return {**film(seeds, height, width), "image_condition_latents": condition, "image_embeds": rows(seeds, 2, 6)}


def with_hints(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    fields = {
        "control_hidden_states": picture(height, width, 96, 2), "control_hidden_states_scale": torch.ones(2),
    }  # fmt: skip
    return {**film(seeds, height, width), "denoiser_input_fields": fields}


def film_with_sound(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    given = both(connected)(seeds, height, width)
    return {**given, "batch_size": len(seeds), "dtype": torch.float32, "num_frames": 5}


def features(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """Prompts of different lengths, padded at their beginning."""
    lengths = [TOKENS - seed % 3 for seed in seeds]
    made = rows(seeds, TOKENS, 12)
    for row, length in zip(made, lengths, strict=True):
        row[: TOKENS - length] = 0
    return {"text_features": made, "text_lengths": lengths}


def read_in_two_ways(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    prompts = both(lambda seeds, prefix: hunyuan.two_captions(seeds, torch.float32, negative=bool(prefix)))
    return {**prompts(seeds, height, width), "num_frames": 5, "batch_size": len(seeds)}


def tokens(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    (seed,), (negative,) = seeds, negatives(seeds)
    drawn = {
        name: torch.randint(32, (TOKENS,), generator=torch.Generator().manual_seed(one)).tolist()
        for name, one in (("cond_input_ids", seed), ("uncond_input_ids", negative))
    }
    return {**drawn, "num_frames": 5, "generator": torch.Generator().manual_seed(seed)}


chunk = both(text, num_frames=9, history_sizes=[4, 2, 1], num_latent_frames_per_chunk=3)


def first_chunk(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """Of whose steps there are no more than of others'."""
    return {**chunk(seeds, height, width), "is_amplify_first_chunk": False}


def with_second(pipe: Any, **config: Any) -> dict[str, Any]:
    """Another denoiser, for the steps with less noise."""
    one = changed(pipe.transformer, **config)
    torch.manual_seed(1)
    return {"transformer": one, "transformer_2": type(one)(**one.config)}


def with_conditioner(pipe: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    return {"text_conditioner": diffusers.AnimaTextConditioner(
        source_dim=12, target_dim=12, model_dim=12, num_layers=1, num_attention_heads=2, target_vocab_size=16,
        min_sequence_length=TOKENS,
    )}  # fmt: skip


def in_two_stages(pipe: Any, kind: str = "HeliosScheduler") -> dict[str, Any]:
    return {"scheduler": getattr(diffusers, kind)(stages=2, stage_range=[0, 0.5, 1])}


def split_in_half(pipe: Any) -> dict[str, Any]:
    """The first of two denoisers makes the first half of the steps. There are no attributes to set."""
    pipe.register_to_config(boundary_ratio=0.77)
    return {}


def generate_with_each(pipe: Any, *, steps: int = 7, **arguments: Any) -> Any:
    """As many steps with each of two denoisers."""
    return modular.generate(pipe, steps=2 * steps, **arguments)


def generate_in_stages(pipe: Any, *, steps: int = 7, **arguments: Any) -> Any:
    return modular.generate(pipe, pyramid_num_inference_steps_list=[steps, steps], **arguments)


def generate_scheduled(pipe: Any, *, steps: int = 7, **arguments: Any) -> Any:
    return modular.generate(pipe, steps=steps, guidance_schedule=(4.0,) * steps, **arguments)


def generate_distilled(pipe: Any, *, steps: int = 7, **arguments: Any) -> Any:
    pipe.register_to_config(distilled_sigmas=torch.linspace(1, 0, steps + 1).tolist()[:-1])
    return modular.generate(pipe, steps=steps, **arguments)


BOTH = ["latents", "audio_latents"]


def joined(made: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Of each row the latents of the video and then those of the sound."""
    return torch.cat([made[name].flatten(1) for name in BOTH], dim=1)


def generate_both(pipe: Any, *, guided: bool = False, **arguments: Any) -> torch.Tensor:
    for guider in (pipe.guider, pipe.audio_guider):
        scales = (4.0, 1.0, 3.0) if guided else (1.0, 0.0, 1.0)
        guider.guidance_scale, guider.stg_scale, guider.modality_scale = scales
    return joined(modular.generate(pipe, guided=guided, output=BOTH, **arguments))


def make_echo() -> Any:
    transformer = changed(ltx2.make_pipeline().transformer, audio_in_channels=16, audio_out_channels=16)
    return of_blocks(EchoDenoiseStep(), transformer=transformer)


def generate_echo(pipe: Any, *, steps: int = 7, callback_on_step_end: Any = None, **arguments: Any) -> torch.Tensor:
    """In steps whose timesteps are not those of a scheduler; a step is over with its call to the denoiser."""
    calls = 0

    def count(*unused: Any) -> None:
        nonlocal calls
        if callback_on_step_end is not None:
            callback_on_step_end(pipe, calls, None, {})
        calls += 1

    counter = pipe.transformer.proj_out.register_forward_hook(count)
    try:
        sigmas = torch.linspace(1, 0, steps + 1).tolist()
        made = modular.generate(pipe, output=BOTH, sigmas=sigmas, **arguments)
    finally:
        counter.remove()
    return joined(made)


_variant = partial(Variant, size=(64, 64))
_small = partial(Variant, size=(32, 32))
_wan_22 = partial(
    _small, sibling="WanPipeline", generate=generate_with_each, attributes=split_in_half, differs={"runs": 2}
)
_ltx2 = partial(
    _small, sibling="LTX2Pipeline", blocks=LTX2CoreDenoiseStep, given=film_with_sound, generate=generate_both,
    attributes=lambda pipe: {"guider.spatio_temporal_guidance_blocks": [1]},
    differs={"guidance": "calls", "calls": 4},
)  # fmt: skip
_qwen = partial(_variant, sibling="QwenImagePipeline")
_qwen_21 = partial(_variant, sibling="QwenImage21Pipeline", given=both(text_and_pictures))
_klein = partial(_variant, sibling="Flux2KleinPipeline", given=both(text))
_krea2 = partial(_variant, sibling="Krea2Pipeline", given=named(krea2.captions))
_helios = partial(_small, sibling="HeliosPipeline")
_pyramid = partial(_helios, given=chunk, generate=generate_in_stages, differs=IN_TWO_STAGES)
_cosmos3 = partial(_small, sibling="Cosmos3OmniPipeline", given=tokens)

MODULAR: Mapping[str, Variant] = {
    "Wan22ModularPipeline": _wan_22(blocks=Wan22CoreDenoiseStep, parts=with_second, given=film),
    "Wan22Image2VideoModularPipeline": _wan_22(
        blocks=Wan22Image2VideoCoreDenoiseStep, parts=partial(with_second, in_channels=36), given=from_picture,
    ),
    "Wan22VaceModularPipeline": _small(
        sibling="WanVACEPipeline", blocks=Wan22VaceCoreDenoiseStep, parts=with_second, given=with_hints,
        generate=generate_with_each, attributes=split_in_half, differs={"runs": 2},
    ),
    "WanImage2VideoModularPipeline": _small(
        sibling="WanPipeline", blocks=WanImage2VideoCoreDenoiseStep, given=from_picture,
        parts=lambda pipe: {
            "transformer": changed(pipe.transformer, in_channels=36, image_dim=6, added_kv_proj_dim=24),
        },
    ),
    "WanAnimate2DistilledModularPipeline": _small(
        sibling="WanAnimate2ModularPipeline", blocks=WanAnimate2DistilledCoreDenoiseStep, guided=False,
        generate=wan_animate_2.generate,
    ),
    "LTXModularPipeline": _variant(sibling="LTXPipeline", blocks=LTXCoreDenoiseStep,
                                   given=both(masked_text, num_frames=9), differs=BY_CALLS),
    "LTX2ModularPipeline": _ltx2(),
    "LTX25ModularPipeline": _ltx2(),
    "EchoModularPipeline": _ltx2(
        make=make_echo, generate=generate_echo, guided=False, differs={"scheduled": False, "threshold": 0.6},
        given=lambda *at: {**film_with_sound(*at), "num_frames": 9},
    ),
    "ZImageModularPipeline": _variant(sibling="ZImagePipeline", blocks=ZImageCoreDenoiseStep,
                                      given=listed(z_image.captions),
                                      differs={**BY_CALLS, "other_shape": {"height": 192}}),
    "FluxKontextModularPipeline": _variant(sibling="FluxPipeline", blocks=FluxKontextCoreDenoiseStep, given=kontext,
                                           guided=False),
    "Flux2ModularPipeline": _variant(sibling="Flux2Pipeline", blocks=Flux2CoreDenoiseStep, given=both(text),
                                     guided=False),
    "Flux2KleinModularPipeline": _klein(blocks=Flux2KleinCoreDenoiseStep, guided=False),
    "Flux2KleinBaseModularPipeline": _klein(blocks=Flux2KleinBaseCoreDenoiseStep),
    "StableDiffusion3ModularPipeline": _variant(
        sibling="StableDiffusion3Pipeline", blocks=StableDiffusion3T2ICoreDenoiseStep, given=both(pooled_text),
        differs=BY_CALLS,
    ),
    "QwenImageEditModularPipeline": _qwen(blocks=QwenImageEditCoreDenoiseStep, given=edit),
    "QwenImageEditPlusModularPipeline": _qwen(blocks=QwenImageEditPlusCoreDenoiseStep, given=edit_plus),
    "QwenImageLayeredModularPipeline": _qwen(
        blocks=QwenImageLayeredCoreDenoiseStep, given=layers,
        parts=lambda pipe: {
            "transformer": changed(pipe.transformer, use_additional_t_cond=True, use_layer3d_rope=True),
        },
    ),
    "QwenImage21ModularPipeline": _qwen_21(blocks=QwenImage21CoreDenoiseStep),
    "QwenImage21TurboModularPipeline": _qwen_21(blocks=QwenImage21TurboCoreDenoiseStep, guided=False),
    "Krea2ModularPipeline": _krea2(blocks=Krea2CoreDenoiseStep),
    "Krea2TurboModularPipeline": _krea2(blocks=Krea2TurboCoreDenoiseStep, guided=False),
    "Ideogram4ModularPipeline": _variant(sibling="Ideogram4Pipeline", blocks=Ideogram4CoreDenoiseStep, given=features,
                                          generate=generate_scheduled),
    "ErnieImageModularPipeline": _variant(sibling="ErnieImagePipeline", blocks=ErnieImageCoreDenoiseStep,
                                          given=listed(ernie_image.captions), differs=BY_CALLS),
    "HunyuanVideo15ModularPipeline": _small(
        sibling="HunyuanVideo15Pipeline", blocks=HunyuanVideo15CoreDenoiseStep, given=read_in_two_ways,
        parts=lambda pipe: {"transformer": changed(pipe.transformer, in_channels=65, out_channels=32)},
    ),
    "HeliosModularPipeline": _helios(blocks=HeliosCoreDenoiseStep, given=chunk),
    "HeliosPyramidModularPipeline": _pyramid(blocks=HeliosPyramidCoreDenoiseStep, parts=in_two_stages),
    "HeliosPyramidDistilledModularPipeline": _pyramid(
        blocks=HeliosPyramidDistilledCoreDenoiseStep, given=first_chunk,
        guided=False, parts=partial(in_two_stages, kind="HeliosDMDScheduler"),
    ),
    "Cosmos3OmniModularPipeline": _cosmos3(blocks=Cosmos3VisionCoreDenoiseStep),
    "Cosmos3DistilledModularPipeline": _cosmos3(
        blocks=Cosmos3DistilledVisionCoreDenoiseStep, guided=False, generate=generate_distilled,
        parts=lambda pipe: {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler()},
    ),
    "AnimaModularPipeline": _variant(sibling="Cosmos2TextToImagePipeline", blocks=AnimaCoreDenoiseStep,
                                     given=both(read_twice), parts=with_conditioner),
}  # fmt: skip
