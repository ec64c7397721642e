"""SkyReels-V2."""

from __future__ import annotations

from functools import partial

import torch
from diffusers import SkyReelsV2Pipeline, SkyReelsV2Transformer3DModel, UniPCMultistepScheduler

from tests.teacache.tiny import wan
from tests.teacache.tiny.base import Tiny, quiet


def make_pipeline() -> SkyReelsV2Pipeline:
    torch.manual_seed(0)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    return quiet(SkyReelsV2Pipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=scheduler,
        transformer=SkyReelsV2Transformer3DModel(**wan.CONFIG),
    ))  # fmt: skip


TINY = {
    "SkyReelsV2Pipeline": Tiny(make=make_pipeline, generate=partial(wan.generate, num_frames=5), guidance="calls",
                               threshold=1.0, other_shape={"height": 48}),
}  # fmt: skip
