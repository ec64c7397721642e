"""Wan 2.1 and 2.2, VACE, Animate, and SkyReels-V2 and ChronoEdit, which are built like them.

Two published modes, each with its own polynomials: "std" compares the output of the time embedder, "ret" its
projection, which the blocks take as `temb`; ret computes the first five steps and does not force the last.
(TeaCache4Wan2.1/teacache_generate.py: `e` and `e0`, `--use_ret_steps`.)
"""

from __future__ import annotations

from functools import partial
from typing import Any

from teacache.indicators import temb
from teacache.models import Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout

_BLOCKS = Blocks(name="blocks", returns=("hidden_states",))
_INDICATORS = {
    "std": Indicator(module="condition_embedder.time_embedder"),  # in float32; the model rounds what it passes on
    "ret": Indicator(of_block=temb),
}


def _hint_behind_the_stack(transformer: Any) -> str:
    """No published checkpoint has one."""
    last = transformer.config.num_layers - 1
    if last not in transformer.config.vace_layers:
        return ""
    return f"it adds a hint behind its last block ({last} is in vace_layers)"


def _face_behind_the_stack(transformer: Any) -> str:
    """No published checkpoint has one."""
    last, every = transformer.config.num_layers - 1, transformer.config.inject_face_latents_blocks
    return f"it adds a face behind its last block ({last}, a multiple of {every})" if last % every == 0 else ""


_wan = partial(Model, indicators=_INDICATORS, rows=RowLayout(shared=("rotary_emb",)))

MODELS = (
    _wan(
        transformer="WanTransformer3DModel",
        stack=(_BLOCKS,),
        pipelines=("WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline", "WanModularPipeline"),
    ),
    _wan(
        transformer="WanVACETransformer3DModel",
        # What a hint block returns is put in the place of the hidden states that it takes: on a skipped step it is
        # added to rows that the end of the stack replaces anyway.
        stack=(Blocks(name="vace_blocks", returns=("hidden_states", "control_hidden_states")), _BLOCKS),
        refuses=_hint_behind_the_stack,
        pipelines=("WanVACEPipeline",),
    ),
    _wan(
        transformer="WanAnimateTransformer3DModel",
        stack=(_BLOCKS,),
        idle=("face_adapter",),
        refuses=_face_behind_the_stack,
        pipelines=("WanAnimatePipeline",),
    ),
    _wan(
        transformer="SkyReelsV2Transformer3DModel",
        stack=(_BLOCKS,),
        pipelines=("SkyReelsV2Pipeline",),
    ),
    _wan(
        transformer="ChronoEditTransformer3DModel",
        stack=(_BLOCKS,),
        pipelines=("ChronoEditPipeline",),
    ),
)

_T2V_1_3B = {"num_layers": 30, "num_attention_heads": 12, "in_channels": 16, "image_dim": None}
_T2V_14B = {"num_layers": 40, "num_attention_heads": 40, "in_channels": 16, "image_dim": None}


def _modes(name: str, std: tuple[float, ...], ret: tuple[float, ...], **entry: Any) -> tuple[Published, ...]:
    """Both modes of a checkpoint: std is taken by config where that tells the checkpoint, ret by name only."""
    common = {"transformer": "WanTransformer3DModel", "source": "ali-vilab/TeaCache, TeaCache4Wan2.1", **entry}
    return (
        Published(name=f"{name}, std", indicator="std", coefficients=std, **common),
        Published(name=f"{name}, ret", indicator="ret", coefficients=ret, first=5, last=False,
                  **{**common, "config": None}),
    )  # fmt: skip


PUBLISHED = (
    *_modes(
        "Wan2.1-T2V-1.3B",
        std=(2.39676752e03, -1.31110545e03, 2.01331979e02, -8.29855975e00, 1.37887774e-01),
        ret=(-5.21862437e04, 9.23041404e03, -5.28275948e02, 1.36987616e01, -4.99875664e-02),
        config=_T2V_1_3B,
        denoisers=1,
        num_inference_steps=50,
    ),
    *_modes(
        "Wan2.1-T2V-14B",
        std=(-5784.54975374, 5449.50911966, -1811.16591783, 256.27178429, -13.02252404),
        ret=(-3.03318725e05, 4.90537029e04, -2.65530556e03, 5.87365115e01, -3.15583525e-01),
        config=_T2V_14B,
        denoisers=1,
        num_inference_steps=50,
    ),
    *_modes(
        "Wan2.1-I2V-14B-480P",
        std=(-3.02331670e02, 2.23948934e02, -5.25463970e01, 5.87348440e00, -2.01973289e-01),
        ret=(2.57151496e05, -3.54229917e04, 1.40286849e03, -1.35890334e01, 1.32517977e-01),
        config=None,
        num_inference_steps=40,
        resolution="480P",
    ),
    *_modes(
        "Wan2.1-I2V-14B-720P",
        std=(-114.36346466, 65.26524496, -18.82220707, 4.91518089, -0.23412683),
        ret=(8.10705460e03, 2.13393892e03, -3.72934672e02, 1.66203073e01, -4.17769401e-02),
        config=None,
        num_inference_steps=40,
        resolution="720P",
    ),
)
