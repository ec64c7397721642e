"""CogVideoX."""

from __future__ import annotations

from teacache.indicators import temb
from teacache.models import Blocks, Indicator, Model, Published

MODELS = (
    Model(
        transformer="CogVideoXTransformer3DModel",
        stack=(Blocks(name="transformer_blocks", returns=("hidden_states", "encoder_hidden_states")),),
        indicators={"temb": Indicator(of_block=temb)},
        guidance="batch",
        pipelines=("CogVideoXPipeline", "CogVideoXImageToVideoPipeline"),
    ),
)

_OFFICIAL = "ali-vilab/TeaCache, TeaCache4CogVideoX1.5/teacache_sample_video.py"
_COGVIDEOX_5B = (-1.53880483e03, 8.43202495e02, -1.34363087e02, 7.97131516e00, -5.23162339e-02)

# scripts/convert_cogvideox_to_diffusers.py of diffusers: 2b has 30 layers and heads, 5b has 42 and 48. 1.5 makes
# patches in time (patch_size_t), and image to video takes the picture's 16 channels beside those of the noise.
PUBLISHED = (
    Published(
        name="CogVideoX-2b",
        transformer="CogVideoXTransformer3DModel",
        config={"num_layers": 30, "num_attention_heads": 30, "patch_size_t": None, "in_channels": 16},
        coefficients=(-3.10658903e01, 2.54732368e01, -5.92380459e00, 1.75769064e00, -3.61568434e-03),
        source=_OFFICIAL,
        num_inference_steps=50,
        resolution="480x720, 49 frames",
    ),
    Published(
        name="CogVideoX-5b",
        transformer="CogVideoXTransformer3DModel",
        config={"num_layers": 42, "num_attention_heads": 48, "patch_size_t": None, "in_channels": 16},
        coefficients=_COGVIDEOX_5B,
        source=_OFFICIAL,
        num_inference_steps=50,
        resolution="480x720, 49 frames",
    ),
    Published(
        name="CogVideoX-5b-I2V",
        transformer="CogVideoXTransformer3DModel",
        config={"num_layers": 42, "num_attention_heads": 48, "patch_size_t": None, "in_channels": 32},
        coefficients=_COGVIDEOX_5B,
        source=_OFFICIAL,
        num_inference_steps=50,
        resolution="480x720, 49 frames",
        borrowed_from="CogVideoX-5b",
    ),
    Published(
        name="CogVideoX1.5-5B",
        transformer="CogVideoXTransformer3DModel",
        config={"num_layers": 42, "num_attention_heads": 48, "patch_size_t": 2, "in_channels": 16},
        coefficients=(2.50210439e02, -1.65061612e02, 3.57804877e01, -7.81551492e-01, 3.58559703e-02),
        source=_OFFICIAL,
        num_inference_steps=50,
        resolution="768x1360, 81 frames",
    ),
    Published(
        name="CogVideoX1.5-5B-I2V",
        transformer="CogVideoXTransformer3DModel",
        config={"num_layers": 42, "num_attention_heads": 48, "patch_size_t": 2, "in_channels": 32},
        coefficients=(1.22842302e02, -1.04088754e02, 2.62981677e01, -3.06009921e-01, 3.71213220e-02),
        source=_OFFICIAL,
        num_inference_steps=50,
        resolution="768x1360, 81 frames",
    ),
)
