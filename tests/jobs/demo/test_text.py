from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import Lumina2Pipeline
from torch import Tensor, nn
from torch.nn import functional

from jobs.demo.checker import PICTURE_FIELDS, VIDEO_FIELDS
from jobs.demo.motions import all_motions
from jobs.demo.scenes import all_scenes
from jobs.demo.text import (
    CLIP_TOKENS,
    GEMMA_TOKENS,
    LUMINA2_SYSTEM,
    T5_TOKENS,
    VIDEO_TOKENS,
    build_clip,
    build_clip_tokenizer,
    build_gemma,
    build_gemma_tokenizer,
    build_t5,
    build_t5_tokenizer,
)

PICTURES, VIDEOS = all_scenes()[::5], all_motions()[::2]
CAPTIONS = [scene.caption for scene in all_scenes()]
VIDEO_CAPTIONS = [motion.caption for motion in all_motions()]


def embed_clip(captions: list[str]) -> Tensor:
    tokenizer = build_clip_tokenizer(CAPTIONS)
    ids = tokenizer(captions, padding="max_length", max_length=CLIP_TOKENS, return_tensors="pt").input_ids
    pooled: Tensor = build_clip(tokenizer)(ids).pooler_output
    return pooled


def embed_t5(captions: list[str]) -> Tensor:
    tokenizer = build_t5_tokenizer(CAPTIONS, length=T5_TOKENS)
    ids = tokenizer(captions, padding="max_length", max_length=T5_TOKENS, return_tensors="pt").input_ids
    tokens: Tensor = build_t5(tokenizer)(ids)[0]
    return tokens.mean(dim=1)


def embed_video_t5(captions: list[str]) -> Tensor:
    tokenizer = build_t5_tokenizer(VIDEO_CAPTIONS, length=VIDEO_TOKENS)
    ids = tokenizer(captions, padding="max_length", max_length=VIDEO_TOKENS, return_tensors="pt").input_ids
    tokens: Tensor = build_t5(tokenizer)(ids)[0]
    return tokens.mean(dim=1)


def embed_gemma(captions: list[str]) -> Tensor:
    """The mean of the tokens that Lumina2Pipeline takes: the last layer's but one, under the mask."""
    tokenizer = build_gemma_tokenizer(CAPTIONS)
    tokenizer.padding_side = "right"
    tokens = tokenizer([LUMINA2_SYSTEM + caption for caption in captions], padding=True, return_tensors="pt")
    hidden = build_gemma(tokenizer)(**tokens, output_hidden_states=True).hidden_states[-2]
    mask = tokens.attention_mask[..., None]
    mean: Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    return mean


@pytest.mark.parametrize(
    ("embed", "scenes", "attributes"),
    [
        (embed_clip, PICTURES, PICTURE_FIELDS),
        (embed_t5, PICTURES, PICTURE_FIELDS),
        (embed_gemma, PICTURES, PICTURE_FIELDS),
        (embed_video_t5, VIDEOS, VIDEO_FIELDS),
    ],
)
def test_a_linear_read_out_tells_every_attribute(
    embed: Callable[[list[str]], Tensor], scenes: tuple[object, ...], attributes: tuple[str, ...]
) -> None:
    embeddings = embed([scene.caption for scene in scenes])  # type: ignore[attr-defined]
    for attribute in attributes:
        assert _read_out(embeddings, [getattr(scene, attribute) for scene in scenes]) > 0.97, attribute


def _read_out(embeddings: Tensor, labels: list[str]) -> float:
    """Accuracy, on each fourth row, of a ridge regression from embeddings to labels that was fitted on the others."""
    names = sorted(set(labels))
    wanted = torch.tensor([names.index(label) for label in labels])
    inputs = torch.cat([embeddings - embeddings.mean(0), torch.ones(len(labels), 1)], dim=1)
    held_out = torch.arange(len(labels)) % 4 == 0
    fit = inputs[~held_out]
    target = functional.one_hot(wanted[~held_out]).float()
    weights = torch.linalg.solve(fit.T @ fit + 0.01 * torch.eye(inputs.shape[1]), fit.T @ target)
    return float(((inputs[held_out] @ weights).argmax(1) == wanted[held_out]).float().mean())


@pytest.mark.parametrize("embed", [embed_clip, embed_t5, embed_gemma])
def test_word_order_changes_the_embedding(embed: Callable[[list[str]], Tensor]) -> None:
    caption = "a small {} circle at the left on a {} background"
    one, other = embed([caption.format("red", "blue"), caption.format("blue", "red")])
    assert (one - other).norm() > 0.05 * one.norm()


def test_every_caption_fits() -> None:
    clip, gemma = build_clip_tokenizer(CAPTIONS), build_gemma_tokenizer(CAPTIONS)
    assert max(map(len, clip(CAPTIONS).input_ids)) <= CLIP_TOKENS
    assert max(map(len, build_t5_tokenizer(CAPTIONS, length=T5_TOKENS)(CAPTIONS).input_ids)) <= T5_TOKENS
    assert max(map(len, gemma([LUMINA2_SYSTEM + caption for caption in CAPTIONS]).input_ids)) <= GEMMA_TOKENS
    video = build_t5_tokenizer(VIDEO_CAPTIONS, length=VIDEO_TOKENS)
    assert max(map(len, video(VIDEO_CAPTIONS).input_ids)) <= VIDEO_TOKENS


@pytest.mark.parametrize("build", [build_gemma_tokenizer, lambda captions: build_t5_tokenizer(captions, length=16)])
def test_unknown_words_fall_apart_into_letters(build: Callable[[list[str]], object]) -> None:
    tokenizer = build(CAPTIONS)
    ids = tokenizer("A zebra's 3 Xylophones?").input_ids  # type: ignore[operator]
    assert tokenizer.unk_token_id not in ids  # type: ignore[attr-defined]
    assert len(ids) > 16


def test_the_system_prompt_is_one_token_and_the_empty_prompt_is_one() -> None:
    system = Lumina2Pipeline.__init__.__code__.co_consts
    assert LUMINA2_SYSTEM.removesuffix(" <Prompt Start> ") in system
    tokenizer = build_gemma_tokenizer(CAPTIONS)
    # <bos>, the system prompt, and the caption's ten words.
    assert len(tokenizer(LUMINA2_SYSTEM + "a small red circle at the left on a blue").input_ids) == 12
    assert tokenizer("").input_ids == [tokenizer.bos_token_id]


@pytest.mark.parametrize(
    "build",
    [
        lambda: build_clip(build_clip_tokenizer(CAPTIONS)),
        lambda: build_t5(build_t5_tokenizer(CAPTIONS, length=T5_TOKENS)),
        lambda: build_gemma(build_gemma_tokenizer(CAPTIONS)),
    ],
)
def test_the_encoders_are_the_same_every_time(build: Callable[[], nn.Module]) -> None:
    one, other = build().state_dict(), build().state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
