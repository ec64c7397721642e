from __future__ import annotations

import math

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.hooks.group_offloading import ModuleGroup

from tests.teacache.tiny.flux import make_pipeline, make_transformer

SOME_CLASSES = {
    "CogVideoXPipeline", "CosmosTextToWorldPipeline", "FluxImg2ImgPipeline", "FluxPipeline", "HunyuanDiTPipeline",
    "LTX2Pipeline", "Lumina2Pipeline", "MochiPipeline", "WanPipeline",
}  # fmt: skip
"""The four that come with a demo, and some that are made in other ways."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `some_classes` is slow for all other pipeline classes."""
    for item in items:
        if item.get_closest_marker("some_classes") and isinstance(item, pytest.Function):
            given = item.callspec.params
            if given.get("name", given.get("tiny")) not in SOME_CLASSES:
                item.add_marker(pytest.mark.slow)


@pytest.fixture
def transformer() -> FluxTransformer2DModel:
    return make_transformer()


@pytest.fixture
def pipe() -> FluxPipeline:
    return make_pipeline()


@pytest.fixture
def lost_when_offloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What diffusers leaves in the place of weights that are on the disk is uninitialised; here it is NaN."""
    offload = ModuleGroup._offload_to_disk

    def lose(self: ModuleGroup) -> None:
        offload(self)
        for tensor in self.tensor_to_key:
            tensor.data = torch.full_like(tensor.data, math.nan)

    monkeypatch.setattr(ModuleGroup, "_offload_to_disk", lose)
