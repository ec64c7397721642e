"""SANA-WM with several samples, each with a camera of its own: its pipeline takes one only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import teacache
from tests.teacache.test_samples import Sample
from tests.teacache.tiny.base import rows
from tests.teacache.tiny.sana_wm import TEXT_TOKENS, TEXT_WIDTH, make_pipeline

FRAMES, STEPS = 3, 8
CONFIG = teacache.TeaCacheConfig(rel_l1_thresh=0.25, coefficients=(1.0, 0.0))


def poses(seeds: Sequence[int]) -> Tensor:
    """Of each sample and frame a pose, and what its lens is like."""
    poses = torch.eye(4).repeat(len(seeds), FRAMES, 1, 1)
    poses[..., :3, 3] = rows(seeds, FRAMES, 3)
    lens = torch.tensor([4.0, 4.0, 2.0, 2.0]).expand(len(seeds), FRAMES, 4)
    return torch.cat([poses.flatten(2), lens], dim=2).double()


def cached(transformer: Any, seeds: Sequence[int]) -> list[Sample]:
    latents = rows(seeds, 4, FRAMES, 4, 4).double()
    conditions = {
        "encoder_hidden_states": rows(seeds, 1, TEXT_TOKENS, TEXT_WIDTH).double(), "camera_conditions": poses(seeds),
        "chunk_plucker": rows(seeds, 12, FRAMES, 4, 4).double(),
        "mask": torch.tensor([[token < 3 + seed % 3 for token in range(TEXT_TOKENS)] for seed in seeds]),
    }  # fmt: skip
    with teacache.enabled(transformer, CONFIG) as cache, torch.no_grad():
        for step in range(STEPS):
            timestep = torch.full((len(seeds), 1, FRAMES), 1000.0 - 100 * step)
            latents = latents - 0.3 * transformer(latents, timestep, **conditions).sample
    stats = [cache.stats.sample(index).calls for index in range(len(seeds))]
    return [(own, [call.computed[0] for call in calls]) for own, calls in zip(latents, stats, strict=True)]


def test_each_of_three_samples_is_as_if_alone() -> None:
    transformer = make_pipeline().transformer.double()
    alone = [cached(transformer, (seed,))[0] for seed in (1, 2, 3)]
    assert len({repr(decisions) for _, decisions in alone}) > 1
    for (latents, decisions), (own, own_decisions) in zip(cached(transformer, (1, 2, 3)), alone, strict=True):
        assert decisions == own_decisions
        torch.testing.assert_close(latents, own, rtol=1e-8, atol=1e-8)
