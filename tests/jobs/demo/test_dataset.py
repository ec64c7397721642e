from __future__ import annotations

import numpy as np
import pytest

from jobs.demo.dataset import Dataset
from jobs.demo.motions import videos
from jobs.demo.scenes import pictures


@pytest.mark.parametrize("dataset", [pictures(), videos(9)], ids=lambda dataset: dataset.kind)
def test_held_out_captions_are_never_trained_on(dataset: Dataset) -> None:  # type: ignore[type-arg]
    held_out = {scene.caption for scene in dataset.held_out(256, seed=0)}
    assert len(held_out) == 256
    assert held_out.isdisjoint(scene.caption for scene in dataset.training())
    assert 0.10 < 1 - len(dataset.training()) / len(dataset.scenes) < 0.15


def test_held_out_scenes_repeat_by_seed() -> None:
    one, again, other = (pictures().held_out(64, seed=seed) for seed in (1, 1, 2))
    assert one == again != other


def test_drawn_scenes_are_channels_first_from_minus_one_to_one() -> None:
    rng = np.random.default_rng(0)
    assert pictures().draw(pictures().scenes[:2], rng).shape == (2, 3, 64, 64)
    drawn = videos(9).draw(videos(9).held_out(32, seed=0), rng)
    assert drawn.shape == (32, 3, 9, 32, 32)
    assert -1 <= drawn.min() < -0.9
    assert 0.9 < drawn.max() <= 1
