from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from jobs.demo import training


def fit(state_file: Path, *, stop_at: int | None = None) -> dict[str, Tensor]:
    """Train a line to y = 3 x in 40 steps; `stop_at` sends SIGTERM in the middle of that step."""
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    calls = 0

    def loss_of(generator: torch.Generator) -> Tensor:
        nonlocal calls
        if calls == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        calls += 1
        x = torch.randn(8, 1, generator=generator)
        loss: Tensor = (model(x) - 3 * x).square().mean()
        return loss

    return training.train(model, loss_of, name="line", steps=40, learning_rate=0.1, state_file=state_file)[0]


def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    whole = fit(tmp_path / "whole.pt")
    with pytest.raises(training.Stopped, match="stopped after step 14 of 40"):
        fit(tmp_path / "parts.pt", stop_at=13)
    parts = fit(tmp_path / "parts.pt")
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    done = fit(tmp_path / "state.pt")
    again = fit(tmp_path / "state.pt", stop_at=0)
    assert all(torch.equal(done[key], again[key]) for key in done)
