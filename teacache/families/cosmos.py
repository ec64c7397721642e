"""Cosmos 1.0, Predict2 and Predict2.5, and Cosmos 3, which makes video, sound and actions of robots.

Cosmos 3's blocks take one sample without rows. Of its two streams only the generated one goes on behind them; the
other, text, is the same at every step. Under `AdaptiveConfig` all that is generated counts together, token by token.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from teacache.models import Arguments, Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """Before the block adds its `extra_pos_emb` (TeaCache4Cosmos/general_dit.py)."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], arguments["embedded_timestep"], arguments["temb"])[0]
    return modulated


def _normed(block: Any, arguments: Arguments) -> Tensor:
    """The generated tokens after the first block's norm; the time was added to them before it."""
    normed: Tensor = block.input_layernorm_moe_gen(arguments["gen_seq"])
    return normed


def _timesteps(arguments: Arguments) -> Tensor:
    """A video that is given whole has none; then actions are noisy."""
    of_video: Tensor = arguments["vision_timesteps"]
    return of_video if len(of_video) else arguments["action_timesteps"]


MODELS = (
    Model(
        transformer="CosmosTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_norm1)},
        pipelines=("CosmosTextToWorldPipeline", "Cosmos2TextToImagePipeline"),
    ),
    Model(
        transformer="Cosmos3OmniTransformer",
        stack=(Blocks(name="layers", returns=("und_seq", "gen_seq")),),
        indicators={"normed_input": Indicator(of_block=_normed)},
        hidden_states="gen_seq",
        mixed_in=("sound", "action"),
        rows=RowLayout(missing=("gen_seq",)),
        timestep=_timesteps,
        latents="vision_tokens",
        pipelines=("Cosmos3OmniPipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="Cosmos-1.0-Diffusion",
        transformer="CosmosTransformer3DModel",
        config={"extra_pos_embed_type": "learnable", "adaln_lora_dim": 256},  # Predict2 has no such embedding
        coefficients=(2.71156237e02, -9.19775607e01, 2.24437250e00, 2.08355751e00, 1.41776330e-01),
        source="ali-vilab/TeaCache, TeaCache4Cosmos",
    ),
)
