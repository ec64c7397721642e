"""A training loop that can be stopped at any moment and goes on where it was.

The state (weights, their moving average, optimiser, step, seconds spent, random generator) is written every minute
and on Ctrl-C or SIGTERM, under a temporary name first, so that a kill in the middle of a write costs a minute at most.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

SAVE_SECONDS = 60.0


class Stopped(Exception):
    """The training was asked to stop; its state is on disk."""


def train(
    model: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    *,
    name: str,
    steps: int,
    learning_rate: float,
    state_file: Path,
    ema_decay: float = 0.999,
    warmup: int = 200,
) -> tuple[dict[str, Tensor], float]:
    """Train `model` for `steps` steps of AdamW with warm-up and cosine decay; go on from `state_file` if it exists.

    Args:
        loss_of: draws a batch with the given generator and returns the loss to minimise.

    Returns:
        The moving average of the weights, and the seconds of training spent over all sittings.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, after the state was written.
    """
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    average = {key: value.detach().clone() for key, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    first, spent = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, first, spent = state["average"], state["step"], state["seconds"]
        generator.set_state(state["generator"])
    started = saved = time.monotonic()
    stop = _StopSignal()
    losses: list[float] = []
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=name, mininterval=2.0)
    for step in bar:
        scale = min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * scale
        loss = loss_of(generator)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        decay = min(ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, value in model.state_dict().items():
                average[key].lerp_(value, 1 - decay)
        losses.append(loss.item())
        if step % 20 == 0:
            bar.set_postfix(loss=f"{sum(losses[-200:]) / len(losses[-200:]):.4f}")
        now = time.monotonic()
        if now - saved > SAVE_SECONDS or stop.asked or step + 1 == steps:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average,
                "step": step + 1,
                "seconds": spent + now - started,
                "generator": generator.get_state(),
            }
            _write(state, state_file)
            saved = now
        if stop.asked:
            bar.close()
            raise Stopped(f"stopped after step {step + 1} of {steps}; the same command goes on from there")
    stop.restore()
    return average, spent + time.monotonic() - started


def _write(state: dict[str, object], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    os.replace(temporary, path)


class _StopSignal:
    """Remembers that SIGINT or SIGTERM came, so that the step in hand is finished first."""

    def __init__(self) -> None:
        self.asked = False
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
