from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from unittest import mock

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.hooks.group_offloading import ModuleGroup

from tests.teacache.tiny.flux import make_pipeline, make_transformer
from tests.teacache.variants import VARIANTS

SOME_CLASSES = {
    "CogVideoXPipeline", "CosmosTextToWorldPipeline", "FluxImg2ImgPipeline", "FluxPipeline", "HunyuanDiTPipeline",
    "LTX2Pipeline", "Lumina2Pipeline", "MochiPipeline", "WanPipeline",
}  # fmt: skip
"""The four that come with a demo, and some that are made in other ways."""


DRAWN = {
    "diffusers.models.autoencoders.vae.DiagonalGaussianDistribution.sample": lambda self, generator=None: self.mode(),
}
"""Some pipelines draw here for all samples at once, or from torch's own state."""


def pipeline_of(item: pytest.Item) -> str:
    """The pipeline class that a test is for; empty without one."""
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return str(given.get("name", given.get("tiny", "")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `some_classes` is slow for all other pipeline classes; further ones are tested in short beside."""
    for item in items:
        if pipeline_of(item) in VARIANTS and item.path.name != "test_variants.py":
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("some_classes") and pipeline_of(item) not in SOME_CLASSES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def patched(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a pipeline class, of which the test is, needs to be replaced in diffusers."""
    variant = VARIANTS.get(pipeline_of(request.node))
    with ExitStack() as stack:
        for target, value in ({**DRAWN, **variant.patches} if variant is not None else {}).items():
            stack.enter_context(mock.patch(target, value, create=True))
        yield


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
