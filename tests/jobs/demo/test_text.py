from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from jobs.demo.scenes import Scene, all_scenes
from jobs.demo.text import CLIP_TOKENS, T5_TOKENS, build_clip, build_clip_tokenizer, build_t5, build_t5_tokenizer


def embed(captions: list[str]) -> tuple[Tensor, Tensor]:
    """CLIP's pooled vector and the mean of T5's tokens, encoded as FluxPipeline does it."""
    clip_tokenizer, t5_tokenizer = build_clip_tokenizer(), build_t5_tokenizer()
    arguments = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    clip_ids = clip_tokenizer(captions, max_length=CLIP_TOKENS, **arguments).input_ids
    t5_ids = t5_tokenizer(captions, max_length=T5_TOKENS, **arguments).input_ids
    return build_clip(clip_tokenizer)(clip_ids).pooler_output, build_t5(t5_tokenizer)(t5_ids)[0].mean(dim=1)


def test_a_linear_read_out_tells_every_attribute() -> None:
    scenes = all_scenes()[::5]
    held_out = torch.tensor([scene.held_out for scene in scenes])
    for embeddings in embed([scene.caption for scene in scenes]):
        for attribute in Scene.__dataclass_fields__:
            assert _read_out(embeddings, [getattr(scene, attribute) for scene in scenes], held_out) > 0.97, attribute


def _read_out(embeddings: Tensor, labels: list[str], held_out: Tensor) -> float:
    """Held-out accuracy of a ridge regression from embeddings to labels."""
    names = sorted(set(labels))
    wanted = torch.tensor([names.index(label) for label in labels])
    inputs = torch.cat([embeddings - embeddings.mean(0), torch.ones(len(labels), 1)], dim=1)
    fit = inputs[~held_out]
    target = functional.one_hot(wanted[~held_out]).float()
    weights = torch.linalg.solve(fit.T @ fit + 0.01 * torch.eye(inputs.shape[1]), fit.T @ target)
    return float(((inputs[held_out] @ weights).argmax(1) == wanted[held_out]).float().mean())


def test_word_order_changes_the_embedding() -> None:
    caption = "a small {} circle at the left on a {} background"
    for embeddings in embed([caption.format("red", "blue"), caption.format("blue", "red")]):
        one, other = embeddings
        assert (one - other).norm() > 0.05 * one.norm()


def test_every_caption_fits_and_unknown_words_do_not_fail() -> None:
    captions = [scene.caption for scene in all_scenes()]
    assert max(len(ids) for ids in build_clip_tokenizer()(captions).input_ids) <= CLIP_TOKENS
    tokenizer = build_t5_tokenizer()
    assert max(len(ids) for ids in tokenizer(captions).input_ids) <= T5_TOKENS
    assert tokenizer.unk_token_id not in tokenizer("A zebra's 3 Xylophones?").input_ids


@pytest.mark.parametrize("build", [lambda: build_clip(build_clip_tokenizer()), lambda: build_t5(build_t5_tokenizer())])
def test_the_encoders_are_the_same_every_time(build: object) -> None:
    one, other = build().state_dict(), build().state_dict()  # type: ignore[operator]
    assert all(torch.equal(one[key], other[key]) for key in one)
