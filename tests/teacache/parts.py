"""Parts that further pipelines of known models have in the place of their siblings' own, or beside them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from torch import Tensor, nn

from tests.teacache.tiny import flux, ltx, wan
from tests.teacache.tiny.base import tiny_vae, tiny_video_vae


class Stub(SimpleNamespace):
    """In the place of a part of which a pipeline only asks for this."""


def changed(model: Any, **config: Any) -> Any:
    """A new model, whose config differs in this."""
    torch.manual_seed(0)
    names = inspect.signature(type(model).__init__).parameters
    return type(model)(**{**{name: value for name, value in model.config.items() if name in names}, **config})


def with_vae(pipe: Any, channels: int = 4, **config: Any) -> dict[str, Any]:
    transformer = changed(pipe.transformer, **config) if config else pipe.transformer
    return {"vae": tiny_vae(channels), "transformer": transformer}


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


def with_chroma_vae(pipe: Any) -> dict[str, Any]:
    """The pipeline asks for something that the transformer's class does not have, but a checkpoint's config may."""
    pipe.transformer.register_to_config(guidance_embeds=False)
    return with_vae(pipe)


def with_deep_vae(pipe: Any) -> dict[str, Any]:
    """Halves height and width."""
    torch.manual_seed(1)
    half = {"block_out_channels": (8, 8), "layers_per_block": (1, 1), "qkv_multiscales": ((), ())}
    both = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in half.items()}
    return {"vae": diffusers.AutoencoderDC(latent_channels=4, attention_head_dim=2, **both)}


def with_magvit(pipe: Any, **config: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    blocks = {f"{way}_block_types": tuple(f"{kind}{way.title()}Block3D" for kind in ("Spatial", "SpatialTemporal"))
              for way in ("down", "up")}  # fmt: skip
    vae = diffusers.AutoencoderKLMagvit(latent_channels=4, block_out_channels=(4, 4), layers_per_block=1,
                                        norm_num_groups=2, **blocks)  # fmt: skip
    return {"vae": vae, "transformer": changed(pipe.transformer, **config)}


def with_cosmos_vae(pipe: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKLCosmos(
        latent_channels=4, encoder_block_out_channels=(4, 4, 4, 4), decode_block_out_channels=(4, 4, 4, 4),
        attention_resolutions=(8,), resolution=32, num_layers=1, latents_mean=None, latents_std=None,
    )  # fmt: skip
    return {"vae": vae, "transformer": changed(pipe.transformer, in_channels=5)}


def with_predict_2_5(pipe: Any, **config: Any) -> dict[str, Any]:
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    return {**with_wan_vae(pipe, in_channels=17, out_channels=16, **config), "scheduler": scheduler}


def with_refinement(pipe: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    upsampler = LTX2LatentUpsamplerModel(in_channels=4, mid_channels=32, num_blocks_per_stage=1, spatial_upsample=False,
                                         temporal_upsample=True)  # fmt: skip
    transformer = changed(pipe.transformer, use_keyframes_abs_pos_embedding=True)
    return {"scheduler": diffusers.LTXEulerAncestralRFScheduler(), "temporal_latent_upsampler": upsampler,
            "transformer": transformer}  # fmt: skip


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


def with_video_vae(pipe: Any, **config: Any) -> dict[str, Any]:
    vae = tiny_video_vae()
    vae.register_to_config(temporal_compression_ratio=1)
    return {"vae": vae, "transformer": changed(pipe.transformer, **config)}


def encodes_as_made(pipe: Any) -> dict[str, Any]:
    """In the type that its VAE was made in, whatever the pipeline is moved to: it gives that to its VAE."""
    vae = copy.deepcopy(pipe.vae)
    return {"vae.encode": lambda pictures: vae.encode(pictures.to(vae.dtype))}


def takes_an_index(pipe: Any) -> dict[str, Any]:
    """EasyAnimate's control calls its `encode_prompt` with an argument that this has no more in diffusers 0.42."""
    return {"encode_prompt": lambda text_encoder_index, **given: type(pipe).encode_prompt(pipe, **given)}


def reads_nothing(pipe: Any, parts: Sequence[str] = ("",)) -> dict[str, Any]:
    """Parts of VisualCloze get the same embeddings for all texts, as its pipelines take none."""

    def encode_prompt(**arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        prompts = next(given for name, given in arguments.items() if name in ("task_prompt", "prompt"))
        tokens, pooled = flux.embeddings((0,) * len(prompts))
        return tokens, pooled, torch.zeros(tokens.shape[1], 3)

    return {f"{part}encode_prompt": encode_prompt for part in parts}


def _resize(mask: Tensor, size: Sequence[int], interpolation: None) -> Tensor:
    return nn.functional.interpolate(mask, size=tuple(size))


TRANSFORMS = SimpleNamespace(
    functional=SimpleNamespace(resize=_resize), InterpolationMode=SimpleNamespace(NEAREST=None)
)
"""What Cosmos' ControlNet wants of torchvision."""
