"""Further pipelines of known models, each made of the parts of a sibling's tiny pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any
from unittest import mock

import diffusers
import torch
from diffusers.pipelines.ltx2.pipeline_ltx2_hdr_lora import LTX2HDRReferenceCondition
from torch import Tensor

from teacache.cache import denoisers_of
from tests.teacache.given import (
    asynchronous,
    cloze,
    coarse,
    control_masked,
    controlled,
    controlled_masked,
    controlled_part_way,
    edit,
    film_controlled,
    film_masked,
    footage,
    footage_each,
    frames_at,
    kontext_masked,
    masked,
    part_way,
    photo,
    photo_each,
    photo_masked,
    photos,
    picture,
    reference,
    sound,
)
from tests.teacache.modular_variants import MODULAR
from tests.teacache.parts import (
    TRANSFORMS,
    Stub,
    changed,
    encodes_as_made,
    for_long_videos,
    reads_nothing,
    takes_an_index,
    with_chroma_vae,
    with_controlnet,
    with_cosmos_vae,
    with_deep_vae,
    with_flux_controlnet,
    with_ltx_vae,
    with_magvit,
    with_predict_2_5,
    with_qwen_vae,
    with_refinement,
    with_sprint,
    with_vae,
    with_video_vae,
    with_wan_vae,
)
from tests.teacache.tiny import (
    TINY,
    bria_fibo,
    chroma,
    cosmos,
    hunyuan,
    hunyuandit,
    kandinsky,
    ltx2,
    modular,
    prior,
    qwenimage,
    wan,
    z_image,
)
from tests.teacache.tiny.base import Tiny, generators, of_blocks, quiet, rows, tiny_vae
from tests.teacache.variant import IN_TWO_STAGES, ONE_SAMPLE, Variant

STEPS = 7


class Without:
    """A pipeline that is called without some arguments."""

    def __init__(self, pipe: Any, drops: tuple[str, ...]) -> None:
        self._pipe, self._drops = pipe, drops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        return self._pipe(*args, **{name: value for name, value in arguments.items() if name not in self._drops})


def make(name: str) -> Any:
    """The tiny pipeline of a class."""
    variant, kind = VARIANTS[name], getattr(diffusers, name)
    if variant.make is not None:
        return variant.make()
    sibling = TINY[variant.sibling].make()
    parts = {**sibling.components, **variant.parts(sibling)}
    if variant.blocks is not None:
        blocks = variant.blocks()
        wanted = {component.name for component in blocks.expected_components}
        pipe = of_blocks(blocks, kind, **{name: parts[name] for name in parts.keys() & wanted})
    else:
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        pipe = quiet(kind(**{one.name: parts.get(one.name) for one in parameters
                             if one.name in parts or one.default is inspect.Parameter.empty}))  # fmt: skip
    for path, value in variant.attributes(pipe).items():
        *holder, attribute = path.split(".")
        setattr(attrgetter(*holder)(pipe) if holder else pipe, attribute, answering(pipe, value))
    return pipe


def answering(pipe: Any, value: Any) -> Any:
    """What is called gives its answers in the denoiser's type."""
    if not callable(value):
        return value
    return lambda *args, **kwargs: typed(value(*args, **kwargs), dtype_of(pipe))


def dtype_of(pipe: Any) -> torch.dtype:
    denoiser: Any = denoisers_of(pipe)[0]
    dtype: torch.dtype = denoiser.dtype
    return dtype


def typed(value: Any, dtype: torch.dtype) -> Any:
    """Tensors, also those in lists, and types, as the type that the denoiser has."""
    if isinstance(value, list | tuple):
        return type(value)(typed(one, dtype) for one in value)
    if isinstance(value, torch.dtype):
        return dtype
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def generate(name: str, pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = STEPS, guided: bool = False,
             **arguments: Any) -> Tensor:  # fmt: skip
    """As `Generate` has it. What the variant patches is to be patched."""
    variant = VARIANTS[name]
    size = [arguments.get(side, usual) for side, usual in zip(("height", "width"), variant.size, strict=True)]
    given = {key: typed(value, dtype_of(pipe)) for key, value in variant.given(seeds, *size).items()}
    arguments = {"height": size[0], "width": size[1], **given, **arguments}
    arguments = {key: value for key, value in arguments.items() if key not in variant.drops}
    usual = TINY[variant.sibling].generate if variant.blocks is None else modular.generate
    run = variant.generate or usual
    pipe = Without(pipe, variant.drops) if variant.drops else pipe
    return run(pipe, seeds=seeds, steps=steps, guided=guided and variant.guided, **arguments)


def generate_layers(pipe: Any, **arguments: Any) -> Tensor:
    """Pictures, as diffusers 0.42 has a mistake where latents are asked for."""
    return torch.stack(list(qwenimage.generate(pipe, output_type="pt", **arguments)))


def generate_asynchronous(pipe: Any, *, steps: int = STEPS, ar_step: int = 0, num_frames: int = 9,
                          **arguments: Any) -> Tensor:  # fmt: skip
    """So many steps in all: the last of three frames makes the last ones alone."""
    steps -= 2 * ar_step
    return wan.generate(pipe, steps=steps, ar_step=ar_step, num_frames=num_frames, prompt=None, **arguments)


def generate_guided(pipe: Any, *, guided: bool = True, **arguments: Any) -> Tensor:
    """Always, as diffusers 0.42 has a mistake where PAG goes without other guidance."""
    return hunyuandit.generate(pipe, guided=True, **arguments)


def generate_windows(pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = STEPS, guided: bool = False,
                     **arguments: Any) -> Tensor:  # fmt: skip
    """A long video in three windows; the scheduler's last timestep is no step. The pipeline takes no embeddings, only
    texts."""
    dtype = pipe.transformer.dtype
    mask, embeds = torch.ones(1, 5, dtype=torch.bool), rows((seeds[0], seeds[0] + 1000), 1, 5, 12, dtype=dtype)
    with mock.patch.object(pipe, "encode_prompt", return_value=(embeds[0], mask, embeds[1], mask)):
        latents: Tensor = pipe(
            prompt="", num_frames=13, temporal_tile_size=9, temporal_overlap=4, num_inference_steps=steps + 1,
            guidance_scale=3.0 if guided else 1.0, generator=generators(seeds)[0], output_type="latent",
            callback_on_step_end_tensor_inputs=[], **arguments,
        ).frames  # fmt: skip
    return latents


def _small(module: str, *rest: None, family: str = "qwenimage") -> dict[str, Any]:
    """Some editing pipelines bring every picture to a million pixels. Here it keeps its form, and is 16 pixels wide.

    Args:
        rest: what the pipeline's function gives beside width and height.
    """
    path = f"diffusers.pipelines.{family}.pipeline_{family}_{module}.calculate_dimensions"
    return {path: lambda area, ratio: (16, round(16 / ratio), *rest)}


_sd3 = partial(Variant, sibling="StableDiffusion3Pipeline", parts=with_vae)
_qwen = partial(Variant, sibling="QwenImagePipeline", parts=with_qwen_vae)
_z_image = partial(Variant, sibling="ZImagePipeline", parts=with_vae)
_flux = partial(Variant, sibling="FluxPipeline", parts=with_vae)
_klein = partial(Variant, sibling="Flux2KleinPipeline", size=(64, 64))
_cogvideox = partial(Variant, sibling="CogVideoXPipeline", drops=("num_frames",))
_sprint = partial(Variant, sibling="SanaPipeline", parts=with_sprint, size=(64, 64), guided=False, drops=(
    "negative_prompt", "negative_prompt_embeds", "negative_prompt_attention_mask",
), differs={"threshold": 1.0, "tolerance": 0.3})  # fmt: skip
_forcing = partial(Variant, sibling="SkyReelsV2Pipeline", size=(32, 32),
                   generate=partial(wan.generate, num_frames=9, prompt=None))  # fmt: skip

_kandinsky = partial(Variant, sibling="Kandinsky5T2VPipeline", size=(32, 32), drops=("num_frames",),
                     attributes=lambda pipe: {"resolutions": [(32, 32), (32, 64)]})  # fmt: skip
_sound = partial(Variant, sibling="StableAudio3Pipeline", guided=False, drops=("height", "width", "guidance_scale"))
_LONGER: Mapping[str, Any] = {"other_shape": TINY["StableAudio3Pipeline"].other_shape}
_cloze = partial(
    Variant, sibling="FluxPipeline", given=cloze, guided=False, attributes=reads_nothing,
    parts=lambda pipe: {**with_vae(pipe, in_channels=48, out_channels=16), "resolution": 16},
    drops=("height", "width", "prompt_embeds", "pooled_prompt_embeds"),
)  # fmt: skip

_prior = partial(Variant, sibling="KandinskyV22PriorPipeline", drops=("height", "width"))
_shap_e = partial(_prior, generate=prior.generate_shap_e, differs={"tolerance": 20.0})
_dfr = partial(Variant, sibling="LTX2Pipeline", size=(32, 32), guided=False, generate=ltx2.generate_by_sigmas)

_ONE_ATTENTION = partial(with_vae, dual_attention_layers=())  # PAG does not go with two in diffusers 0.42
_SD3_NET = partial(with_controlnet, kind="SD3ControlNetModel", num_layers=2, dual_attention_layers=())
_QWEN_NET = partial(with_controlnet, kind="QwenImageControlNetModel", vae=with_qwen_vae, num_layers=1)
_Z_IMAGE_NET = partial(with_controlnet, kind="ZImageControlNetModel", control_layers_places=[0, 2],
                       control_refiner_layers_places=[0])  # fmt: skip
_TWICE = partial(with_vae, in_channels=32, out_channels=16)

VARIANTS: Mapping[str, Variant] = {
    **MODULAR,
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
    "QwenImageEditPipeline": _qwen(given=photo, patches=_small("edit", None)),
    "QwenImageEditInpaintPipeline": _qwen(given=photo_masked, patches=_small("edit_inpaint", None)),
    "QwenImageEditPlusPipeline": _qwen(given=photo, differs=ONE_SAMPLE, patches=_small("edit_plus")),
    "ZImageImg2ImgPipeline": _z_image(given=part_way),
    "ZImageInpaintPipeline": _z_image(given=masked),
    "FluxControlImg2ImgPipeline": _flux(parts=_TWICE, given=controlled_part_way, guided=False),
    "FluxControlInpaintPipeline": _flux(parts=_TWICE, given=controlled_masked, guided=False),
    "FluxControlNetImg2ImgPipeline": _flux(parts=with_flux_controlnet, given=controlled_part_way, guided=False),
    "FluxControlNetInpaintPipeline": _flux(parts=with_flux_controlnet, given=controlled_masked, guided=False),
    "FluxKontextInpaintPipeline": _flux(given=kontext_masked),
    "Flux2KleinInpaintPipeline": _klein(given=masked),
    "Flux2KleinKVPipeline": _klein(given=photos, drops=("guidance_scale",), guided=False, differs={"late": 1}),
    "PixArtAlphaPipeline": Variant(sibling="PixArtSigmaPipeline", size=(64, 64)),
    "PixArtSigmaPAGPipeline": Variant(sibling="PixArtSigmaPipeline", size=(64, 64)),
    "SanaPAGPipeline": Variant(sibling="SanaPipeline", size=(64, 64)),
    "SanaSprintPipeline": _sprint(given=lambda *at: {"intermediate_timesteps": None}),
    "HunyuanDiTPAGPipeline": Variant(
        sibling="HunyuanDiTPipeline", size=(64, 64), generate=generate_guided,
        parts=lambda pipe: {"requires_safety_checker": False, "pag_applied_layers": "blocks.1"},
        differs={"independent": False},
    ),
    "Cosmos2VideoToWorldPipeline": Variant(
        sibling="Cosmos2TextToImagePipeline", parts=partial(with_wan_vae, in_channels=17, out_channels=16),
        generate=partial(cosmos.generate, num_frames=9), size=(32, 32), given=photo_each,
    ),
    "LTXConditionPipeline": Variant(sibling="LTXPipeline", parts=with_ltx_vae, given=picture, size=(32, 32),
                                    differs={"threshold": 0.3, "strength": {"denoise_strength": 0.5}}),
    "LTXI2VLongMultiPromptPipeline": Variant(sibling="LTXPipeline", parts=for_long_videos, generate=generate_windows,
                                             size=(32, 32), differs={"runs": 3, "batched": False, "threshold": 0.5}),
    "HunyuanSkyreelsImageToVideoPipeline": Variant(
        sibling="HunyuanVideoPipeline", given=picture, size=(32, 32),
        parts=lambda pipe: {"vae": hunyuan.make_vae(), "transformer": changed(pipe.transformer, in_channels=8)},
    ),
    "LucyEditPipeline": Variant(
        sibling="WanPipeline", parts=partial(with_wan_vae, in_channels=32), given=footage_each, size=(32, 32),
        generate=partial(wan.generate, num_frames=5), attributes=encodes_as_made,
    ),
    "CogView4ControlPipeline": Variant(sibling="CogView4Pipeline", parts=partial(with_vae, in_channels=8),
                                       given=controlled, size=(32, 32)),
    "LTX2ConditionPipeline": Variant(sibling="LTX2Pipeline", size=(32, 32), given=frames_at(0, 2)),
    "LTX2InContextPipeline": Variant(sibling="LTX2Pipeline", size=(32, 32), given=reference()),
    "CogVideoXVideoToVideoPipeline": _cogvideox(parts=with_video_vae,
                                               given=lambda *at: {**footage_each(*at), "strength": 1.0}),
    "CogVideoXFunControlPipeline": _cogvideox(parts=partial(with_video_vae, in_channels=8), given=lambda *at: {
        "control_video": footage_each(*at)["video"],
    }),
    "SkyReelsV2DiffusionForcingPipeline": _forcing(given=asynchronous, generate=generate_asynchronous),
    "SkyReelsV2DiffusionForcingImageToVideoPipeline": _forcing(given=photo, parts=with_wan_vae, differs=ONE_SAMPLE,
                                                               generate=partial(wan.generate, num_frames=9)),
    "StableDiffusion3InpaintPipeline": _sd3(parts=partial(with_vae, channels=16, in_channels=16, out_channels=16),
                                            given=masked),
    "ChromaInpaintPipeline": Variant(sibling="ChromaPipeline", parts=with_chroma_vae, given=masked),
    "PRXPixelPipeline": Variant(sibling="PRXPipeline"),
    "HunyuanDiTControlNetPipeline": Variant(
        sibling="HunyuanDiTPipeline", given=controlled, size=(64, 64),
        parts=lambda pipe: {"requires_safety_checker": False, **with_controlnet(
            pipe, "HunyuanDiT2DControlNetModel", lambda pipe: {"vae": chroma.make_vae()}, transformer_num_layers=6,
        )},
    ),
    "SanaControlNetPipeline": Variant(
        sibling="SanaPipeline", given=controlled, size=(32, 32),
        parts=partial(with_controlnet, kind="SanaControlNetModel", vae=with_deep_vae, num_layers=1),
    ),
    "SanaSprintImg2ImgPipeline": _sprint(
        parts=lambda pipe: {**with_sprint(pipe), **with_deep_vae(pipe)}, size=(32, 32),
        given=lambda *at: {**part_way(*at), "intermediate_timesteps": None},
    ),
    "EasyAnimateInpaintPipeline": Variant(
        sibling="EasyAnimatePipeline", given=film_masked,
        parts=partial(
            with_magvit, in_channels=12, resize_inpaint_mask_directly=False, add_noise_in_inpaint_model=False
        ),
    ),
    "EasyAnimateControlPipeline": Variant(
        sibling="EasyAnimatePipeline", given=film_controlled, parts=partial(with_magvit, in_channels=12),
        attributes=takes_an_index,
    ),
    "HeliosPyramidPipeline": Variant(
        sibling="HeliosPipeline", size=(32, 32), differs=IN_TWO_STAGES, drops=("num_inference_steps",),
        parts=lambda pipe: {"scheduler": diffusers.HeliosScheduler(stages=2, stage_range=[0, 0.5, 1])},
        generate=lambda pipe, steps=STEPS, **arguments: TINY["HeliosPipeline"].generate(
            pipe, pyramid_num_inference_steps_list=[steps, steps], **arguments
        ),
    ),
    "HunyuanImageRefinerPipeline": Variant(
        sibling="HunyuanImagePipeline", size=(64, 64), drops=tuple(
            f"{negative}prompt_embeds{mask}_2" for negative in ("", "negative_") for mask in ("", "_mask")
        ),
        parts=lambda pipe: {"transformer": changed(
            pipe.transformer, in_channels=8, patch_size=(1, 1, 1), rope_axes_dim=(2, 2, 4), guidance_embeds=True,
            text_embed_2_dim=None,
        )},
        given=lambda seeds, height, width: {"image": rows(seeds, 4, 1, height // 16, width // 16)},
    ),
    "HunyuanVideo15ImageToVideoPipeline": Variant(
        sibling="HunyuanVideo15Pipeline", given=photo, size=(32, 32), drops=("height", "width"),
        parts=lambda pipe: {"transformer": changed(pipe.transformer, target_size=32)},
        attributes=lambda pipe: {
            "vision_num_semantic_tokens": 3, "encode_image": lambda batch_size, **_: rows((3,) * batch_size, 3, 6),
        },
    ),
    "Kandinsky5T2IPipeline": _kandinsky(),
    "Kandinsky5I2IPipeline": _kandinsky(given=photo_each, parts=lambda pipe: {
        "vae": chroma.make_vae(), "transformer": kandinsky.make_transformer(visual_cond=True),
    }),
    "Kandinsky5I2VPipeline": Variant(
        sibling="Kandinsky5T2VPipeline", size=(32, 32), differs={"independent": False},
        given=lambda *at: {**photo_each(*at), "num_frames": 17},
        parts=lambda pipe: {
            "vae": hunyuan.make_vae(), "transformer": kandinsky.make_transformer(visual_cond=True),
        },
    ),
    "LongCatImageEditPipeline": Variant(
        sibling="LongCatImagePipeline", given=photo, differs=ONE_SAMPLE,
        drops=("height", "width", "enable_prompt_rewrite"),
        parts=lambda pipe: {"vae": tiny_vae(16), "text_processor": Stub(image_processor=None)},
        attributes=lambda pipe: {"_encode_prompt": lambda prompt, image: rows((int(prompt[0]),), 5, 12)},
        patches=_small("edit", family="longcat_image"),
    ),
    "LTX2HDRPipeline": Variant(
        sibling="LTX2Pipeline", size=(32, 32), given=reference(LTX2HDRReferenceCondition),
        drops=tuple(name for name in ltx2.UNGUIDED if name.startswith("audio_")),
    ),
    "MotifVideoImage2VideoPipeline": Variant(
        sibling="MotifVideoPipeline", size=(32, 32), differs=ONE_SAMPLE,
        given=lambda *at: {**photo(*at), "prompt": None},
        parts=lambda pipe: {
            "text_encoder": Stub(vision_tower=None),
            "transformer": changed(pipe.transformer, image_embed_dim=6),
        },
        attributes=lambda pipe: {"_get_image_embeds": lambda **_: rows((3,), 2, 6)},
    ),
    "QwenImageLayeredPipeline": _qwen(
        given=lambda *at: {**photo(*at), "prompt": "0", "layers": 2}, drops=("height", "width"),
        parts=lambda pipe: {
            **with_qwen_vae(pipe), "text_encoder": Stub(dtype=torch.float32),
            "transformer": changed(pipe.transformer, use_additional_t_cond=True, use_layer3d_rope=True),
        },
        patches=_small("layered"), generate=generate_layers, differs=ONE_SAMPLE,
    ),
    "SkyReelsV2ImageToVideoPipeline": Variant(
        sibling="SkyReelsV2Pipeline", size=(32, 32), given=photo,
        parts=partial(with_wan_vae, in_channels=36, image_dim=6, added_kv_proj_dim=24),
        attributes=lambda pipe: {"encode_image": lambda *args: rows((3,), 2, 6)},
    ),
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": _forcing(
        parts=with_wan_vae, differs={"runs": 2}, generate=partial(wan.generate, num_frames=13),
        given=lambda *at: {**footage(*at), "base_num_frames": 9, "overlap_history": 5},
    ),
    "StableAudio3AudioToAudioPipeline": _sound(
        given=lambda *at: {**sound(*at), "init_noise_level": 0.99},
        differs={**_LONGER, "strength": {"init_noise_level": 0.5}},
    ),
    "StableAudio3InpaintPipeline": _sound(given=lambda *at: {
        **sound(*at), "mask_start_seconds": 0.5, "mask_end_seconds": 1.5,
    }, differs=_LONGER),
    "VisualClozeGenerationPipeline": _cloze(),
    "VisualClozePipeline": _cloze(
        differs={"runs": 2, "strength": {"upsampling_strength": 0.5}},
        attributes=partial(reads_nothing, parts=("generation_pipe.", "upsampling_pipe.")),
        given=lambda *at: {**cloze(*at), "upsampling_height": at[1], "upsampling_width": at[2]},
    ),
    "ZImageControlNetPipeline": _z_image(parts=partial(_Z_IMAGE_NET, control_in_dim=4), given=controlled),
    "ZImageControlNetInpaintPipeline": _z_image(parts=partial(_Z_IMAGE_NET, control_in_dim=9),
                                                given=controlled_masked, drops=("strength",)),
    "ZImageOmniPipeline": _z_image(
        given=photos, size=(64, 64), generate=partial(z_image.generate, read=z_image.captions_in_parts),
        parts=lambda pipe: {
            "vae": tiny_vae().to(torch.bfloat16),  # which the pipeline encodes in, whatever its type is
            "transformer": z_image.make_transformer(siglip_feat_dim=6),
        },
        attributes=lambda pipe: {
            **encodes_as_made(pipe),
            "prepare_siglip_embeds": lambda batch_size, **_: [[rows((3,), 2, 2, 6)[0]] for _ in range(batch_size)],
        },
    ),
    "LTX2DFRPipeline": _dfr(
        given=frames_at(0, 2),
        parts=lambda pipe: {"transformer": changed(pipe.transformer, use_keyframes_abs_pos_embedding=True)},
    ),
    "LTX2DFRTemporalRefinePipeline": _dfr(parts=with_refinement, given=coarse,
                                          differs={"runs": 2, "independent": False, "threshold": 0.4}),
    "KandinskyV22PriorEmb2EmbPipeline": _prior(
        make=partial(prior.make_pipeline, diffusers.KandinskyV22PriorEmb2EmbPipeline),
        given=lambda seeds, *size: {"image": rows(seeds, prior.WIDTH), "strength": 1.0},
    ),
    "ShapEPipeline": _shap_e(make=prior.make_shap_e_in_single_steps),
    "ShapEImg2ImgPipeline": _shap_e(
        make=partial(prior.make_shap_e_in_single_steps, diffusers.ShapEImg2ImgPipeline),
    ),
    "BriaFiboEditPipeline": Variant(
        sibling="BriaFiboPipeline", parts=with_wan_vae, given=edit, generate=bria_fibo.generate, size=(64, 64),
        attributes=lambda pipe: {"encode_prompt": partial(bria_fibo.encode_prompt, pipe.transformer)},
    ),
    "CosmosVideoToWorldPipeline": Variant(sibling="CosmosTextToWorldPipeline", parts=with_cosmos_vae, given=photo_each,
                                          size=(32, 32), attributes=encodes_as_made),
    "Cosmos2_5_PredictBasePipeline": Variant(
        sibling="Cosmos2TextToImagePipeline", parts=with_predict_2_5, given=footage, differs=ONE_SAMPLE, size=(32, 32),
        generate=partial(cosmos.generate, num_frames=9),
    ),
    "Cosmos2_5_TransferPipeline": Variant(
        sibling="Cosmos2TextToImagePipeline", size=(32, 32), differs={"runs": 2},
        parts=lambda pipe: with_controlnet(
            pipe, "CosmosControlNetModel", partial(with_predict_2_5, controlnet_block_every_n=2),
            n_controlnet_blocks=2, in_channels=18, latent_channels=18, model_channels=24,
        ),
        given=lambda *at: {"controls": footage(*at)["video"] * 2, "num_frames": 9, "num_frames_per_chunk": 5},
        patches={"diffusers.models.controlnets.controlnet_cosmos.transforms": TRANSFORMS},
    ),
}  # fmt: skip


def as_tiny(name: str) -> Tiny:
    """As its sibling, but for what is known to differ."""
    variant, sibling, height = VARIANTS[name], TINY[VARIANTS[name].sibling], VARIANTS[name].size[0]
    takes = inspect.signature(getattr(diffusers, name).__call__).parameters
    differs = {
        "make": partial(make, name), "generate": partial(generate, name),
        "other_shape": {"height": height + 32} if sibling.other_shape else {}, "tolerance": max(0.1, sibling.tolerance),
        "strength": {"strength": 0.5} if "strength" in takes else None, **variant.differs,
    }  # fmt: skip
    if not variant.guided:
        differs["guidance"] = "none"
    return replace(sibling, **differs)


SWEPT: Mapping[str, Tiny] = {**TINY, **{name: as_tiny(name) for name in VARIANTS}}
"""Every pipeline that the tests can make, by its class name."""
