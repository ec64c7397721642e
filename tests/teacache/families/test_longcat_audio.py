"""LongCat-AudioDiT whose blocks make their own modulation."""

from __future__ import annotations

import pytest

import teacache
from tests.teacache.test_models import EXTREME
from tests.teacache.tiny import longcat_audio


def test_blocks_that_make_their_own_modulation_are_refused() -> None:
    transformer = longcat_audio.make_transformer(adaln_type="local")
    with pytest.raises(teacache.UnsupportedModelError, match=r"their own modulation \(adaln_type is 'local'\)"):
        teacache.enable(transformer, EXTREME)
