"""A record for every transformer class that teacache knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from teacache.errors import UnsupportedModelError
from teacache.models import Arguments, Blocks, Indicator, Model


def _norm1(block: Any, arguments: Arguments) -> Tensor:
    """The hidden states after the first block's adaptive layer norm (TeaCache4FLUX/teacache_flux.py)."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], arguments["temb"])[0]
    return modulated


def _norm1_emb(block: Any, arguments: Arguments) -> Tensor:
    """The same, for norms that call the embedding `emb`."""
    modulated: Tensor = block.norm1(arguments["hidden_states"], emb=arguments["temb"])[0]
    return modulated


def _temb(block: Any, arguments: Arguments) -> Tensor:
    """The time embedding (TeaCache4CogVideoX1.5)."""
    embedding: Tensor = arguments["temb"]
    return embedding


_DOUBLE = ("encoder_hidden_states", "hidden_states")

_RECORDS = (
    Model(
        transformer="FluxTransformer2DModel",
        stack=(
            Blocks(name="transformer_blocks", returns=_DOUBLE),
            Blocks(name="single_transformer_blocks", returns=_DOUBLE),
        ),
        indicators={"modulated_input": Indicator(of_block=_norm1_emb)},
        pipelines=("FluxPipeline",),
    ),
    Model(
        transformer="MochiTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"modulated_input": Indicator(of_block=_norm1)},
        published_exit="proj_out",
        guidance="batch",
        pipelines=("MochiPipeline",),
    ),
    Model(
        transformer="Lumina2Transformer2DModel",
        stack=(Blocks(name="layers", returns=("hidden_states",)),),
        indicators={"modulated_input": Indicator(of_block=_norm1), "temb": Indicator(of_block=_temb)},
        mask="attention_mask",
        shared=(),
        pipelines=("Lumina2Pipeline",),
    ),
    Model(
        transformer="CogVideoXTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"temb": Indicator(of_block=_temb)},
        guidance="batch",
        pipelines=("CogVideoXPipeline",),
    ),
)  # fmt: skip

MODELS: Mapping[str, Model] = {model.transformer: model for model in _RECORDS}


def model_for(transformer: nn.Module) -> Model:
    """The record of a transformer, by the name of its class or of a class that it derives from.

    Raises:
        UnsupportedModelError: there is none.
    """
    model = find_model(transformer)
    if model is None:
        known = ", ".join(sorted(MODELS))
        raise UnsupportedModelError(
            f"teacache does not know {type(transformer).__name__}. Known: {known}. A record of its blocks adds one: "
            'teacache.enable(..., model=teacache.Model(transformer="...", stack=(...)))'
        )
    return model


def find_model(transformer: nn.Module) -> Model | None:
    """The same, None where there is none."""
    names = (kind.__name__ for kind in type(transformer).__mro__)
    return next((MODELS[name] for name in names if name in MODELS), None)
