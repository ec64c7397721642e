"""What a pipeline call gives back, as bytes: rows x frames x height x width x 3; a picture is one frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.rows import Sample

Pixels = NDArray[np.uint8]


def pixels_of(result: Any) -> tuple[Pixels, int | None, list[str]]:
    """The pixels of a pipeline's output of type "pt"; the number of frames, None where it is pictures; and each row's
    fault, if it has one.

    Rounded on the device: a quarter of the bytes to move.
    """
    video = hasattr(result, "frames")
    tensor: torch.Tensor = result.frames if video else result.images.unsqueeze(1)
    rounded = (tensor.float().clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = rounded.permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()
    faults = [_fault(row, made, video) for row, made in zip(tensor, pixels, strict=True)]
    return pixels, pixels.shape[1] if video else None, faults


def _fault(row: torch.Tensor, made: Pixels, video: bool) -> str:
    """What makes a picture or video none: half-precision overflows end as NaN, or as one color everywhere."""
    what = "video" if video else "picture"
    if not (math.isfinite(row.min().item()) and math.isfinite(row.max().item())):
        return f"ValueError: the {what} holds NaN or infinity"
    color = made[0, 0, 0]
    # Frame by frame: all at once would take as much memory again as the video.
    flat = all((frame == color).all() for frame in made)
    return f"ValueError: the {what} is {tuple(color.tolist())} everywhere" if flat else ""


def check_size(sample: Sample, pixels: Pixels) -> None:
    """Raises ValueError where a pipeline made another size than it was asked for."""
    wanted = {"num_frames": sample.num_frames, "height": sample.height, "width": sample.width}
    made = dict(zip(wanted, pixels.shape[1:4], strict=True))
    asked = {name: value for name, value in wanted.items() if value is not None}
    if any(made[name] != value for name, value in asked.items()):
        raise ValueError(
            f"asked for {_told(asked)}, the pipeline makes {_told({name: made[name] for name in asked})}; "
            "use numbers that it can make"
        )


def _told(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sizes.items())
