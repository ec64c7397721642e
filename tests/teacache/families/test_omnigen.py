"""OmniGen with pictures, whose guidance is a batch of three: with pictures and text, with neither, with pictures."""

from __future__ import annotations

import pytest
import torch

import teacache
from tests.teacache.test_models import EXTREME, STEPS, skipping, steps_computed
from tests.teacache.tiny import TINY
from tests.teacache.tiny.base import images


@pytest.mark.parametrize("seeds", [(4,), (4, 5)], ids=["one", "two"])
def test_the_thirds_of_a_guided_batch_are_one_sample(seeds: tuple[int, ...]) -> None:
    tiny = TINY["OmniGenPipeline"]
    pipe = tiny.make()

    def generate() -> torch.Tensor:
        torch.manual_seed(0)  # it draws from the global generator when it encodes pictures
        return tiny.generate(
            pipe, seeds=seeds, steps=STEPS, prompt=[f"<img><|image_1|></img> seed {seed}" for seed in seeds],
            input_images=[list(images((seed,), 32, 32)) for seed in seeds],
        )  # fmt: skip

    uncached = generate()
    with teacache.enabled(pipe, EXTREME) as cache:
        assert not torch.equal(generate(), uncached)
    assert steps_computed(cache.take_stats()) == {(0, 3, 6)}
    with teacache.enabled(pipe, skipping(tiny)) as cache:
        generate()
    (call,) = cache.stats.calls
    assert (call.batch_size, call.rows) == (len(seeds), 3 * len(seeds))
