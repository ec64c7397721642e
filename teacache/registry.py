"""Which record describes a transformer?"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from teacache.errors import UnsupportedModelError
from teacache.families import FAMILIES
from teacache.models import Model

MODELS: Mapping[str, Model] = {model.transformer: model for family in FAMILIES for model in family.MODELS}


def model_for(transformer: nn.Module) -> Model:
    """The record of a transformer, by the name of its class or of a class that it derives from.

    Raises:
        UnsupportedModelError: there is none, or it does not fit this transformer.
    """
    model = find_model(transformer)
    if model is None:
        known = ", ".join(sorted(MODELS))
        raise UnsupportedModelError(
            f"teacache does not know {type(transformer).__name__}. Known: {known}. A record of its blocks adds one: "
            'teacache.enable(..., model=teacache.Model(transformer="...", stack=(...)))'
        )
    refusal = model.refuses(transformer) if model.refuses is not None else ""
    if refusal:
        raise UnsupportedModelError(f"teacache cannot cache this {type(transformer).__name__}: {refusal}")
    return model


def find_model(transformer: nn.Module) -> Model | None:
    """The same, None where there is none."""
    names = (kind.__name__ for kind in type(transformer).__mro__)
    return next((MODELS[name] for name in names if name in MODELS), None)
