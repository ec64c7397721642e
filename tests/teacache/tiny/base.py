"""What a tiny pipeline is: random weights, real classes, embeddings instead of text encoders, milliseconds per run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from diffusers import AutoencoderKL, AutoencoderKLCogVideoX
from torch import Tensor


class Generate(Protocol):
    def __call__(self, pipe: Any, *, seeds: Sequence[int] = (0,), steps: int = 12, guided: bool = False,
                 **arguments: Any) -> Tensor:  # fmt: skip
        """Latents of one pipeline call, one row per seed; `arguments` go to the pipeline.

        Noise and embeddings of a row come from its seed alone, so uncached rows do not depend on their batch.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiny:
    """One pipeline class, small."""

    make: Callable[[], Any]
    """A pipeline with the same weights every time."""
    generate: Generate
    guidance: Literal["none", "calls", "batch"] = "none"
    """What `guided=True` does: nothing that could be tested, a second call at each step, or a batch twice as large."""
    calls: int | None = None
    """How often it calls a denoiser at each step if guided; left out, what goes with `guidance`."""
    runs: int = 1
    """So many runs are in a call, as where a long video is made part by part."""
    late: int = 0
    """So many steps at the start of a run leave nothing that later ones could take."""
    scheduled: bool = True
    """Whether its steps are those of a scheduler; without one a run that is given up at once is to be discarded."""
    always_guided: bool = False
    """Whether another denoiser is called for the second branch, also without `guided=True`."""
    threshold: float = 0.12
    """A `rel_l1_thresh` that skips some steps of a run of 12, with coefficients (1.0, 0.0) and without guidance."""
    tolerance: float = 0.05
    """A tolerance of `AdaptiveConfig` at which samples differ in what they skip, guided where that is one batch."""
    batched: bool = True
    """Whether the pipeline takes several samples at once."""
    independent: bool = True
    """Whether a sample is the same in any batch, uncached; some draw noise for all at once, or take a mean of all."""
    strength: Mapping[str, Any] | None = None
    """Arguments that start the run from less than pure noise (image to image), mostly in the middle of the steps."""
    dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.bfloat16)
    """What it can be moved to from float32; nothing where its weights are to stay in that."""
    other_shape: Mapping[str, Any] = field(default_factory=lambda: {"height": 96})
    """Arguments that change the shape: the number of tokens, but where that is always the same."""

    @property
    def branches(self) -> int:
        return self.calls or (2 if self.guidance == "calls" else 1)


def rows(seeds: Sequence[int], *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal noise, one row per seed: shape (seeds, *shape)."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]).to(dtype)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def negatives(seeds: Sequence[int]) -> list[int]:
    """Seeds of the negative prompts."""
    return [seed + 1000 for seed in seeds]


def images(
    seeds: Sequence[int], height: int, width: int, *, channels: int = 3, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Pictures to start from, values in [0, 1]: shape (seeds, channels, height, width)."""
    return rows([seed + 2000 for seed in seeds], channels, height, width).sigmoid().to(dtype)


def tiny_vae(channels: int = 4) -> AutoencoderKL:
    """Halves height and width."""
    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=(4, 4), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=channels, norm_num_groups=2,
        layers_per_block=1, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0, scaling_factor=1.0,
    )  # fmt: skip


def tiny_video_vae() -> AutoencoderKLCogVideoX:
    """Keeps height and width, 4 channels."""
    torch.manual_seed(1)
    return AutoencoderKLCogVideoX(
        block_out_channels=(4,), down_block_types=("CogVideoXDownBlock3D",), up_block_types=("CogVideoXUpBlock3D",),
        latent_channels=4, norm_num_groups=2, layers_per_block=1,
    )  # fmt: skip


def audio_vae(kind: type, **config: Any) -> Any:
    """An autoencoder of sounds; without torch's old weight_norm, with which it cannot be copied."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses that
        vae = kind(**config)
        for module in vae.modules():
            if hasattr(module, "weight_g"):
                torch.nn.utils.remove_weight_norm(module)
    return vae


def quiet(pipe: Any) -> Any:
    """The pipeline without a progress bar, its models in eval mode and without gradients."""
    pipe.set_progress_bar_config(disable=True)
    for component in pipe.components.values():
        if isinstance(component, torch.nn.Module):
            component.eval().requires_grad_(False)
    return pipe


def of_blocks(blocks: Any, kind: Any = None, **components: Any) -> Any:
    """A modular pipeline of these blocks; components that they make themselves, as guiders, may be left out.

    Args:
        kind: its class; left out, the one that goes with the blocks.
    """
    pipe = blocks.init_pipeline() if kind is None else kind(blocks=blocks)
    pipe.update_components(**components)
    return quiet(pipe)
