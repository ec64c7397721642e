"""Further pipelines of known models, each made of the parts of a sibling's tiny pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import diffusers
import torch
from PIL import Image
from torch import Tensor, nn

from tests.teacache.tiny import TINY, cosmos, flux, hunyuan, ltx, wan
from tests.teacache.tiny.base import Generate, generators, images, quiet, rows, tiny_vae, tiny_video_vae

STEPS = 7


def no_parts(pipe: Any) -> dict[str, Any]:
    return {}


def nothing(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a pipeline has that its sibling has not."""

    sibling: str
    """The pipeline class in `TINY` whose parts and arguments it takes."""
    parts: Callable[[Any], Mapping[str, Any]] = no_parts
    """From the sibling: other parts, in the place of its own or beside them."""
    given: Callable[[Sequence[int], int, int], dict[str, Any]] = nothing
    """Further arguments of a call, from seeds, height and width."""
    drops: tuple[str, ...] = ()
    """Arguments of the sibling's that it does not take."""
    generate: Generate | None = None
    """In the place of the sibling's."""
    guided: bool = True
    """Whether it has guidance that can be turned on."""
    size: tuple[int, int] = (16, 16)
    runs: int = 1
    """So many runs are in a call, as where a long video is made part by part."""
    late: int = 0
    """So many steps at the start leave nothing that later ones could take, whose tokens are others."""
    patches: Mapping[str, Any] = field(default_factory=dict)
    """What is too large in diffusers, by its full name."""


class Without:
    """A pipeline that is called without some arguments."""

    def __init__(self, pipe: Any, drops: tuple[str, ...]) -> None:
        self._pipe, self._drops = pipe, drops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def __call__(self, **arguments: Any) -> Any:
        return self._pipe(**{name: value for name, value in arguments.items() if name not in self._drops})


def make(name: str) -> Any:
    """The tiny pipeline of a class."""
    variant, kind = VARIANTS[name], getattr(diffusers, name)
    sibling = TINY[variant.sibling].make()
    parts = {**sibling.components, **variant.parts(sibling)}
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return quiet(kind(**{one.name: parts.get(one.name) for one in parameters
                         if one.name in parts or one.default is inspect.Parameter.empty}))  # fmt: skip


def generate(name: str, pipe: Any, *, seeds: Sequence[int] = (0,), **arguments: Any) -> Tensor:
    """As `Generate` has it, guided where the class has guidance."""
    variant = VARIANTS[name]
    height, width = variant.size
    arguments = {"height": height, "width": width, **variant.given(seeds, height, width), **arguments}
    torch.manual_seed(0)  # some pipelines draw from it
    with ExitStack() as stack:
        for target, value in variant.patches.items():
            stack.enter_context(mock.patch(target, value))
        run = variant.generate or TINY[variant.sibling].generate
        pipe = Without(pipe, variant.drops) if variant.drops else pipe
        return run(pipe, seeds=seeds, steps=STEPS, guided=variant.guided, **arguments)


def changed(model: Any, **config: Any) -> Any:
    """A new model, whose config differs in this."""
    torch.manual_seed(0)
    names = inspect.signature(type(model).__init__).parameters
    return type(model)(**{**{name: value for name, value in model.config.items() if name in names}, **config})


def with_vae(pipe: Any, **config: Any) -> dict[str, Any]:
    return {"vae": tiny_vae(), "transformer": changed(pipe.transformer, **config) if config else pipe.transformer}


def with_qwen_vae(pipe: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    return {"vae": diffusers.AutoencoderKLQwenImage(
        base_dim=4, z_dim=4, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False], latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )}  # fmt: skip


def with_wan_vae(pipe: Any, **config: Any) -> dict[str, Any]:
    return {"vae": wan.make_vae(), "transformer": changed(pipe.transformer, **config) if config else pipe.transformer}


def with_ltx_vae(pipe: Any) -> dict[str, Any]:
    return {"vae": ltx.make_vae()}


def for_long_videos(pipe: Any) -> dict[str, Any]:
    return {**with_ltx_vae(pipe), "scheduler": diffusers.LTXEulerAncestralRFScheduler()}


def with_sprint(pipe: Any) -> dict[str, Any]:
    """What distilled SANA has."""
    transformer = changed(pipe.transformer, guidance_embeds=True, qk_norm="rms_norm_across_heads")
    return {"scheduler": diffusers.SCMScheduler(), "transformer": transformer}


def with_controlnet(pipe: Any, kind: str, vae: Callable[[Any], Mapping[str, Any]] = with_vae,
                    **config: Any) -> dict[str, Any]:  # fmt: skip
    """A ControlNet that is as the transformer where its class lets it."""
    torch.manual_seed(2)
    of_class: Any = getattr(diffusers, kind)
    names = inspect.signature(of_class.__init__).parameters
    net = of_class(**{**{key: value for key, value in pipe.transformer.config.items() if key in names}, **config})
    for parameter in net.parameters():  # its last layers start at zero
        nn.init.normal_(parameter, std=0.1)
    return {**vae(pipe), "controlnet": net}


def with_flux_controlnet(pipe: Any) -> dict[str, Any]:
    return dict(flux.make_pipeline(diffusers.FluxControlNetPipeline, vae=True, controlnet=True).components)


def picture(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"image": images(seeds, height, width)}


def part_way(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**picture(seeds, height, width), "strength": 0.9}


def masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**part_way(seeds, height, width), "mask_image": images(seeds, height, width, channels=1).round()}


def kontext_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**masked(seeds, height, width), "max_area": height * width, "_auto_resize": False}


def controlled(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"control_image": images(seeds, height, width)}


def control_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    mask = images(seeds, height, width, channels=1).round()
    return {**controlled(seeds, height, width), "control_mask": mask}


def controlled_part_way(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**part_way(seeds, height, width), **controlled(seeds, height, width)}


def controlled_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**masked(seeds, height, width), **controlled(seeds, height, width)}


def photo(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """One picture for all, as a file holds it."""
    pixels = (images((5,), height, width)[0].permute(1, 2, 0) * 255).byte()
    return {"image": Image.fromarray(pixels.numpy())}


def photo_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**masked(seeds, height, width), **photo(seeds, height, width)}


def photos(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"image": [photo(seeds, height, width)["image"]]}


def generate_windows(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = STEPS, guided: bool = False,
                     **arguments: Any) -> Tensor:  # fmt: skip
    """A long video in three windows. The pipeline takes no embeddings, only texts."""
    mask, embeds = torch.ones(1, 5, dtype=torch.bool), rows((seeds[0], seeds[0] + 1000), 1, 5, 12)
    with mock.patch.object(pipe, "encode_prompt", return_value=(embeds[0], mask, embeds[1], mask)):
        latents: Tensor = pipe(
            prompt="", num_frames=13, temporal_tile_size=9, temporal_overlap=4, num_inference_steps=steps,
            guidance_scale=3.0 if guided else 1.0, generator=generators(seeds)[0], output_type="latent",
            callback_on_step_end_tensor_inputs=[], **arguments,
        ).frames  # fmt: skip
    return latents


def with_video_vae(pipe: Any, **config: Any) -> dict[str, Any]:
    vae = tiny_video_vae()
    vae.register_to_config(temporal_compression_ratio=1)
    return {"vae": vae, "transformer": changed(pipe.transformer, **config)}


def footage(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"video": [photo(seeds, height, width)["image"]] * 5}


def asynchronous(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """Each frame is two steps behind the one before it."""
    return {"ar_step": 2, "causal_block_size": 1}


def _small(module: str, size: Any) -> dict[str, Any]:
    """Qwen-Image's editing pipelines bring every picture to a million pixels."""
    path = f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{module}.calculate_dimensions"
    return {path: lambda area, ratio: size}


_sd3 = partial(Variant, sibling="StableDiffusion3Pipeline", parts=with_vae)
_qwen = partial(Variant, sibling="QwenImagePipeline", parts=with_qwen_vae)
_z_image = partial(Variant, sibling="ZImagePipeline", parts=with_vae)
_flux = partial(Variant, sibling="FluxPipeline", parts=with_vae)
_klein = partial(Variant, sibling="Flux2KleinPipeline", size=(64, 64))
_cogvideox = partial(Variant, sibling="CogVideoXPipeline", drops=("num_frames",))
_sprint = partial(Variant, sibling="SanaPipeline", parts=with_sprint, size=(64, 64), guided=False, drops=(
    "negative_prompt", "negative_prompt_embeds", "negative_prompt_attention_mask",
))  # fmt: skip
_forcing = partial(Variant, sibling="SkyReelsV2Pipeline", size=(32, 32),
                   generate=partial(wan.generate, num_frames=9, prompt=None))  # fmt: skip

_ONE_ATTENTION = partial(with_vae, dual_attention_layers=())  # PAG does not go with two in diffusers 0.42
_SD3_NET = partial(with_controlnet, kind="SD3ControlNetModel", num_layers=2, dual_attention_layers=())
_QWEN_NET = partial(with_controlnet, kind="QwenImageControlNetModel", vae=with_qwen_vae, num_layers=1)
_TWICE = partial(with_vae, in_channels=32, out_channels=16)

VARIANTS: Mapping[str, Variant] = {
    "StableDiffusion3Img2ImgPipeline": _sd3(given=part_way),
    "StableDiffusion3PAGPipeline": _sd3(parts=_ONE_ATTENTION),
    "StableDiffusion3PAGImg2ImgPipeline": _sd3(parts=_ONE_ATTENTION, given=part_way),
    "StableDiffusion3ControlNetPipeline": _sd3(parts=_SD3_NET, given=controlled),
    "StableDiffusion3ControlNetInpaintingPipeline": _sd3(parts=partial(_SD3_NET, extra_conditioning_channels=1),
                                                         given=control_masked),
    "QwenImageImg2ImgPipeline": _qwen(given=part_way),
    "QwenImageInpaintPipeline": _qwen(given=masked),
    "QwenImageControlNetPipeline": _qwen(parts=_QWEN_NET, given=controlled),
    "QwenImageControlNetInpaintPipeline": _qwen(parts=partial(_QWEN_NET, extra_condition_channels=4),
                                                given=control_masked),
    "QwenImageEditPipeline": _qwen(given=photo, patches=_small("edit", (16, 16, None))),
    "QwenImageEditInpaintPipeline": _qwen(given=photo_masked, patches=_small("edit_inpaint", (16, 16, None))),
    "QwenImageEditPlusPipeline": _qwen(given=photo, patches=_small("edit_plus", (16, 16))),
    "ZImageImg2ImgPipeline": _z_image(given=part_way),
    "ZImageInpaintPipeline": _z_image(given=masked),
    "FluxControlImg2ImgPipeline": _flux(parts=_TWICE, given=controlled_part_way, guided=False),
    "FluxControlInpaintPipeline": _flux(parts=_TWICE, given=controlled_masked, guided=False),
    "FluxControlNetImg2ImgPipeline": _flux(parts=with_flux_controlnet, given=controlled_part_way, guided=False),
    "FluxControlNetInpaintPipeline": _flux(parts=with_flux_controlnet, given=controlled_masked, guided=False),
    "FluxKontextInpaintPipeline": _flux(given=kontext_masked),
    "Flux2KleinInpaintPipeline": _klein(given=masked),
    "Flux2KleinKVPipeline": _klein(given=photos, drops=("guidance_scale",), guided=False, late=1),
    "PixArtAlphaPipeline": Variant(sibling="PixArtSigmaPipeline", size=(64, 64)),
    "PixArtSigmaPAGPipeline": Variant(sibling="PixArtSigmaPipeline", size=(64, 64)),
    "SanaPAGPipeline": Variant(sibling="SanaPipeline", size=(64, 64)),
    "SanaSprintPipeline": _sprint(given=lambda *at: {"intermediate_timesteps": None}),
    "HunyuanDiTPAGPipeline": Variant(sibling="HunyuanDiTPipeline", size=(64, 64), parts=lambda pipe: {
        "requires_safety_checker": False, "pag_applied_layers": "blocks.1",
    }),
    "Cosmos2VideoToWorldPipeline": Variant(
        sibling="Cosmos2TextToImagePipeline", parts=partial(with_wan_vae, in_channels=17, out_channels=16), given=photo,
        generate=partial(cosmos.generate, num_frames=9), size=(32, 32),
    ),
    "LTXConditionPipeline": Variant(sibling="LTXPipeline", parts=with_ltx_vae, given=picture, size=(32, 32)),
    "LTXI2VLongMultiPromptPipeline": Variant(sibling="LTXPipeline", parts=for_long_videos, generate=generate_windows,
                                             size=(32, 32), runs=3),
    "HunyuanSkyreelsImageToVideoPipeline": Variant(
        sibling="HunyuanVideoPipeline", given=picture, size=(32, 32),
        parts=lambda pipe: {"vae": hunyuan.make_vae(), "transformer": changed(pipe.transformer, in_channels=8)},
    ),
    "LucyEditPipeline": Variant(sibling="WanPipeline", parts=partial(with_wan_vae, in_channels=32), given=footage,
                                generate=partial(wan.generate, num_frames=5), size=(32, 32)),
    "CogView4ControlPipeline": Variant(sibling="CogView4Pipeline", parts=partial(with_vae, in_channels=8),
                                       given=controlled, size=(32, 32)),
    "LTX2ConditionPipeline": Variant(sibling="LTX2Pipeline", size=(32, 32)),
    "LTX2InContextPipeline": Variant(sibling="LTX2Pipeline", size=(32, 32)),
    "CogVideoXVideoToVideoPipeline": _cogvideox(parts=with_video_vae, given=footage),
    "CogVideoXFunControlPipeline": _cogvideox(parts=partial(with_video_vae, in_channels=8), given=lambda *at: {
        "control_video": footage(*at)["video"],
    }),
    "SkyReelsV2DiffusionForcingPipeline": _forcing(given=asynchronous),
    "SkyReelsV2DiffusionForcingImageToVideoPipeline": _forcing(given=photo, parts=with_wan_vae,
                                                               generate=partial(wan.generate, num_frames=9)),
}  # fmt: skip
