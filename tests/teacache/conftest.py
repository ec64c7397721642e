from __future__ import annotations

import pytest
from diffusers import FluxPipeline, FluxTransformer2DModel

from tests.teacache.tiny.flux import make_pipeline, make_transformer


@pytest.fixture
def transformer() -> FluxTransformer2DModel:
    return make_transformer()


@pytest.fixture
def pipe() -> FluxPipeline:
    return make_pipeline()
