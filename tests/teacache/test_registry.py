"""No model without tests, no published recipe without a model."""

from __future__ import annotations

import inspect
from collections import Counter

import diffusers
import pytest

from teacache import families
from teacache.cache import denoisers_of
from teacache.models import Model, Published
from teacache.published import PUBLISHED
from teacache.registry import MODELS, model_for
from tests.teacache.tiny import FAMILIES, TINY


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.transformer)
def test_every_model_is_tested_in_its_pipelines(model: Model) -> None:
    assert model.pipelines
    assert set(model.pipelines) <= set(TINY)
    for name in model.pipelines:
        pipe = TINY[name].make()
        assert type(pipe).__name__ == name
        assert model_for(denoisers_of(pipe)[0]) is model


def test_every_tiny_pipeline_is_of_a_model() -> None:
    assert set(TINY) == {name for model in MODELS.values() for name in model.pipelines}
    assert len(TINY) == sum(len(family.TINY) for family in FAMILIES)


@pytest.mark.parametrize("name", TINY)
def test_a_pipeline_is_tested_with_all_that_its_call_takes(name: str) -> None:
    """What the tests of runs leave out for a class, it does not have."""
    tiny, parameters = TINY[name], inspect.signature(getattr(diffusers, name).__call__).parameters
    assert ("strength" in parameters) == (tiny.strength is not None)
    assert tiny.guidance != "none" or not any(name.startswith("negative_prompt") for name in parameters)
    # WanVACE refuses a list of prompts; PRX, guided, passes two timesteps whatever the number of samples; Kandinsky 6
    # makes one video after the other; SANA-WM takes one picture; the others take one prompt.
    alone = (
        "WanVACEPipeline", "PRXPipeline", "Kandinsky6SRPipeline", "MiniMaxMusic3ModularPipeline",
        "MiniMaxH3ModularPipeline", "WanAnimate2ModularPipeline", "Cosmos3OmniPipeline", "SanaWMPipeline",
        "SanaWMLTX2Refiner",
    )  # fmt: skip
    assert tiny.batched or name in alone


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: f"{entry.transformer}: {entry.name}")
def test_every_published_recipe_is_of_a_model_and_its_indicator(entry: Published) -> None:
    indicators = MODELS[entry.transformer].indicators
    assert indicators
    assert entry.source
    assert not entry.indicator or entry.indicator in indicators


def test_no_two_published_recipes_have_one_name() -> None:
    names = Counter((entry.transformer, entry.name) for entry in PUBLISHED)
    assert set(names.values()) == {1}


def test_no_two_models_are_of_one_class() -> None:
    assert len(MODELS) == sum(len(family.MODELS) for family in families.FAMILIES)
