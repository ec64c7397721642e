from __future__ import annotations

import math

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.hooks.group_offloading import ModuleGroup

from tests.teacache.tiny.flux import make_pipeline, make_transformer


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
