"""Text encoders that remember, on the packaged model's two and on one made of sums."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from jobs.actors.texts import Texts
from jobs.paths import packaged

PROMPTS = ["a small red circle", "a large green ring at the top", "a fox", "a small red circle"]


@pytest.fixture(scope="module")
def flux() -> Any:
    pipeline = DiffusionPipeline.from_pretrained(packaged("demo/flux"), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def encode(pipeline: Any, prompts: list[str]) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = pipeline.encode_prompt(prompts, prompt_2=None, device="cpu", max_sequence_length=16)
    return found


@pytest.mark.parametrize("batches", [[PROMPTS], [[each] for each in PROMPTS], [PROMPTS[:1], PROMPTS[1:], PROMPTS]])
def test_what_is_remembered_is_what_was_computed(flux: Any, batches: list[list[str]]) -> None:
    expected = [encode(flux, prompts) for prompts in batches]
    forwards = {name: vars(getattr(flux, name)).get("forward") for name in ("text_encoder", "text_encoder_2")}
    texts = Texts(flux)
    try:
        for prompts, wanted in zip(batches, expected, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(encode(flux, prompts), wanted, strict=True))
        # Three prompts that differ, two encoders.
        assert texts.encoded == 6
    finally:
        for name in forwards:
            del getattr(flux, name).forward


class Sums(nn.Module):
    """Gives each row's sum twice: as a tensor, and in a tuple beside what is no tensor."""

    calls: int = 0
    rows: int = 0

    def forward(self, input_ids: Tensor, scale: float = 1.0) -> dict[str, Any]:
        self.calls, self.rows = self.calls + 1, self.rows + len(input_ids)
        sums = input_ids.sum(dim=1, keepdim=True) * scale
        return {"sums": sums, "all": (sums, "cache", None)}


class Mean(nn.Module):
    """Mixes the rows: not to be remembered."""

    def forward(self, input_ids: Tensor) -> Tensor:
        return input_ids.float().mean()


def sums(limit: int = 1000) -> tuple[Sums, Texts]:
    encoder = Sums()
    return encoder, Texts(SimpleNamespace(text_encoder=encoder, text_encoder_2=None), limit)


@torch.no_grad()
def test_only_rows_not_seen_before_are_encoded() -> None:
    encoder, _ = sums()
    for ids, rows in (([[1, 2], [3, 4], [1, 2]], 2), ([[3, 4], [5, 6]], 3), ([[5, 6], [1, 2]], 3)):
        output = encoder(torch.tensor(ids))
        # 1 + 2, 3 + 4, 5 + 6
        assert output["sums"].tolist() == [[sum(row)] for row in ids]
        assert output["all"][0].tolist() == output["sums"].tolist()
        assert encoder.rows == rows


@torch.no_grad()
def test_other_arguments_are_other_texts() -> None:
    encoder, _ = sums()
    ids = torch.tensor([[1, 2]])
    assert [encoder(ids, scale=scale)["sums"].item() for scale in (1.0, 2.0, 1.0)] == [3, 6, 3]
    encoder(ids.int(), scale=1.0)
    assert encoder.rows == 3


@torch.no_grad()
def test_the_oldest_are_forgotten_first() -> None:
    # A row's two sums of 4 bytes are 8 bytes: there is room for two rows.
    encoder, _ = sums(limit=16)
    for value in (1, 2, 1, 3, 1):
        encoder(torch.tensor([[value]]))
    assert encoder.rows == 3
    encoder(torch.tensor([[2]]))
    assert encoder.rows == 4


@torch.no_grad()
def test_paused_everything_is_encoded() -> None:
    encoder, texts = sums()
    with texts.paused():
        for _ in range(2):
            assert encoder(torch.tensor([[1, 2]]))["all"][1] == "cache"
    assert (encoder.rows, texts.encoded) == (2, 0)


@torch.no_grad()
def test_an_encoder_whose_rows_mix_is_left_alone() -> None:
    encoder = Mean()
    Texts(SimpleNamespace(text_encoder=encoder))
    ids = torch.tensor([[1, 2], [3, 4], [1, 2]])
    # (1 + 2 + 3 + 4 + 1 + 2) / 6
    assert [encoder(ids).item() for _ in range(2)] == [pytest.approx(13 / 6)] * 2
