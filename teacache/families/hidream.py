"""HiDream-I1. Full, Dev and Fast are one architecture: no config tells them apart, so Dev and Fast go by name."""

from __future__ import annotations

from teacache.indicators import hidden_states
from teacache.models import Blocks, Indicator, Model, Published
from teacache.row_layout import RowLayout

MODELS = (
    Model(
        transformer="HiDreamImageTransformer2DModel",
        stack=(
            Blocks(name="double_stream_blocks", returns=("hidden_states", "encoder_hidden_states")),
            Blocks(name="single_stream_blocks", returns=("hidden_states",)),
        ),
        # Timestep alone: the blocks see it with the pooled text added.
        indicators={"t_embedder": Indicator(module="t_embedder"), "hidden_states": Indicator(of_block=hidden_states)},
        tokens="first",
        mask="hidden_states_masks",
        rows=RowLayout(shared=()),
        timestep="timesteps",
        guidance="batch",
        pipelines=("HiDreamImagePipeline",),
    ),
)

PUBLISHED = (
    Published(
        name="HiDream-I1-Full",
        transformer="HiDreamImageTransformer2DModel",
        config={"num_layers": 16, "num_single_layers": 32, "num_attention_heads": 20},
        coefficients=(-3.13605009e04, -7.12425503e02, 4.91363285e01, 8.26515490e00, 1.08053901e-01),
        source="ali-vilab/TeaCache, TeaCache4HiDream-I1/teacache_hidream_i1.py",
        first=0.1,
        last=False,
        num_inference_steps=50,
        resolution="1024x1024",
    ),
    Published(
        name="HiDream-I1-Dev",
        transformer="HiDreamImageTransformer2DModel",
        config=None,
        coefficients=(1.39997273, -4.30130469, 5.01534416, -2.20504164, 0.93942874),
        source="welltop-cn/ComfyUI-TeaCache, nodes.py",
        indicator="hidden_states",
    ),
    Published(
        name="HiDream-I1-Fast",
        transformer="HiDreamImageTransformer2DModel",
        config=None,
        coefficients=(2.26509623, -6.88864563, 7.61123826, -3.10849353, 0.99927602),
        source="welltop-cn/ComfyUI-TeaCache, nodes.py",
        indicator="hidden_states",
    ),
)
