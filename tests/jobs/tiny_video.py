"""A video pipeline of random weights: real classes, a second per call. For mechanics only."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from transformers import AutoTokenizer, T5EncoderModel

from jobs.paths import packaged

FRAMES = 9
"""What it makes unless told otherwise."""
TOKENS = 16


def save(folder: Path) -> Path:
    """Write the pipeline into a folder of its own; 16 x 16, 9 frames unless told otherwise."""
    torch.manual_seed(0)
    flux = Path(packaged("demo/flux"))
    text_encoder = T5EncoderModel.from_pretrained(flux / "text_encoder_2", torch_dtype=torch.float32)
    down, up = ("CogVideoXDownBlock3D",) * 4, ("CogVideoXUpBlock3D",) * 4
    pipeline = CogVideoXPipeline(
        tokenizer=AutoTokenizer.from_pretrained(flux / "tokenizer_2"),
        text_encoder=text_encoder,
        vae=AutoencoderKLCogVideoX(
            down_block_types=down,
            up_block_types=up,
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
        ),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=4,
            out_channels=4,
            time_embed_dim=8,
            text_embed_dim=text_encoder.config.d_model,
            num_layers=2,
            sample_width=2,
            sample_height=2,
            sample_frames=FRAMES,
            patch_size=2,
            temporal_compression_ratio=4,
            max_text_seq_length=TOKENS,
        ),
        scheduler=CogVideoXDDIMScheduler(),
    )
    pipeline.save_pretrained(folder)
    return folder
