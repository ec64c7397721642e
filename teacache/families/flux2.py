"""FLUX.2."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published


def _modulated(block: Any, arguments: Arguments) -> Tensor:
    """The image tokens after the first block's norm, shift and scale (IonDen/mlx-teacache)."""
    modulation: Tensor = arguments["temb_mod_img"]
    modulation = modulation.unsqueeze(1) if modulation.ndim == 2 else modulation
    shift, scale = modulation.chunk(6, dim=-1)[:2]
    modulated: Tensor = (1 + scale) * block.norm1(arguments["hidden_states"]) + shift
    return modulated


MODELS = (
    Model(
        transformer="Flux2Transformer2DModel",
        stack=(
            Blocks(name="transformer_blocks", returns=("encoder_hidden_states", "hidden_states")),
            Blocks(name="single_transformer_blocks", returns=("hidden_states",)),
        ),
        indicators={"modulated_input": Indicator(of_block=_modulated)},
        tokens="last",
        pipelines=("Flux2Pipeline", "Flux2KleinPipeline"),
    ),
)

# The transformer's config does not tell the base models from the distilled ones.
PUBLISHED = tuple(
    Published(name=name, transformer="Flux2Transformer2DModel", config=None, coefficients=coefficients,
              fitted_range=fitted_range, num_inference_steps=steps, source="IonDen/mlx-teacache")
    for name, coefficients, fitted_range, steps in (
        ("FLUX.2-klein-base-4B or 9B",
         (-1841.022165607874, 848.4417137572868, -131.3554469956159, 8.179509586828413, 0.0), (0.02826, 0.21984), 50),
        ("FLUX.2-klein-4B",
         (236.9190176127698, -201.47401360106662, 66.91354236854073, -11.14796738073235, 1.2674506310647067), None, 8),
        ("FLUX.2-klein-9B",
         (-523.8412980807129, 530.2492512602308, -177.64385734082498, 20.893264957040557, 0.0), None, 8),
    )
)  # fmt: skip
