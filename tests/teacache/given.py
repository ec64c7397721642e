"""What further pipelines of known models are given: pictures, videos, sounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition
from PIL import Image
from torch import Tensor

from tests.teacache.tiny.base import images, rows

Given = Callable[[Sequence[int], int, int], dict[str, Any]]


def picture(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"image": images(seeds, height, width)}


def part_way(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**picture(seeds, height, width), "strength": 0.9}


def masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**part_way(seeds, height, width), "mask_image": images(seeds, height, width, channels=1).round()}


def kontext_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**masked(seeds, height, width), "max_area": height * width, "_auto_resize": False}


def controlled(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"control_image": images(seeds, height, width)}


def control_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    mask = images(seeds, height, width, channels=1).round()
    return {**controlled(seeds, height, width), "control_mask": mask}


def controlled_part_way(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**part_way(seeds, height, width), **controlled(seeds, height, width)}


def controlled_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**masked(seeds, height, width), **controlled(seeds, height, width)}


def photo(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """One picture for all, as a file holds it."""
    pixels = (images((5,), height, width)[0].permute(1, 2, 0) * 255).byte()
    return {"image": Image.fromarray(pixels.numpy())}


def photo_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {**masked(seeds, height, width), **photo(seeds, height, width)}


def frames_at(*indices: int) -> Given:
    """One picture that LTX-2 is to show at these of its latent frames: the first one's tokens are known, others' come
    beside its own."""

    def given(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
        frame = photo(seeds, height, width)["image"]
        return {"conditions": [LTX2VideoCondition(frames=frame, index=index, crf=0) for index in indices]}

    return given


def reference(kind: type = LTX2ReferenceCondition) -> Given:
    """A video whose tokens LTX-2 sees beside its own."""
    return lambda *at: {"reference_conditions": [kind(frames=footage(*at)["video"])]}


def photos(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"image": [photo(seeds, height, width)["image"]]}


def photo_each(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"image": [photo(seeds, height, width)["image"]] * len(seeds)}


def footage_each(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"video": [footage(seeds, height, width)["video"]] * len(seeds)}


def footage(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """One video for all."""
    return {"video": [photo(seeds, height, width)["image"]] * 5}


def asynchronous(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """Each frame is a step behind the one before it."""
    return {"ar_step": 1, "causal_block_size": 1}


def film(frames: int, height: int, width: int, channels: int = 3) -> Tensor:
    """One video as a tensor."""
    return images(range(frames), height, width, channels=channels).transpose(0, 1).unsqueeze(0)


def film_controlled(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    return {"control_video": film(5, height, width).expand(len(seeds), -1, -1, -1, -1)}


def film_masked(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    video, mask = (film(5, height, width, channels=channels).repeat(len(seeds), 1, 1, 1, 1) for channels in (3, 1))
    return {"video": video, "mask_video": mask, "strength": 1.0}


def sound(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """Of two seconds, in stereo."""
    return {"audio": rows((5,), 2, 32)}


def cloze(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """For each sample an example, and a picture for which its like is to be made."""
    (one,), texts = photos(seeds, height, width)["image"], [""] * len(seeds)
    return {"image": [[[one, one], [one, None]]] * len(seeds), "task_prompt": texts, "content_prompt": texts}


def edit(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    prompts = [f'{{"edit_instruction": {seed}}}' for seed in seeds]
    return {**photo(seeds, height, width), "prompt": prompts, "negative_prompt": ["1000"] * len(seeds)}


def coarse(seeds: Sequence[int], height: int, width: int) -> dict[str, Any]:
    """What a first pass made: 13 frames, of which two are keyframes, and their sound."""
    size = height // 8, width // 8
    return {
        "latents": rows(seeds, 4, 7, *size), "keyframes_latents": rows(seeds, 4, 2, *size),
        "keyframe_positions": [6, 12], "audio_latents": rows(seeds, 2, 14, 2), "num_frames": 13,
    }  # fmt: skip
