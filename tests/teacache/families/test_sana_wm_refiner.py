"""SANA-WM's refiner, whose blocks keep keys and values of the parts of a video that are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.transformers.transformer_sana_wm_refiner import SanaWMRefinerKVCache

import teacache
from tests.teacache.families.by_hand import EVERY_STEP, changes
from tests.teacache.test_models import STEPS
from tests.teacache.test_samples import Sample
from tests.teacache.tiny import sana_wm_refiner
from tests.teacache.tiny.base import rows


def test_parts_are_bit_identical_where_nothing_is_skipped() -> None:
    pipe = sana_wm_refiner.make_pipeline()
    uncached = sana_wm_refiner.generate(pipe, steps=STEPS, parts=2)
    with teacache.enabled(pipe, EVERY_STEP):
        assert torch.equal(sana_wm_refiner.generate(pipe, steps=STEPS, parts=2), uncached)


def test_the_indicator_is_what_the_first_attention_takes_in() -> None:
    pipe = sana_wm_refiner.make_pipeline()
    seen: list[torch.Tensor] = []
    pipe.transformer.transformer_blocks[0].attn1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with teacache.enabled(pipe, EVERY_STEP) as cache:
        sana_wm_refiner.generate(pipe, steps=STEPS)
    (call,) = cache.stats.calls
    assert len(seen) == 1 + STEPS + 1  # the first frame, and the part when it is done
    assert list(call.distances[0][1:-1]) == changes(seen[1:-1])[:-1]


def cached(transformer: Any, seeds: Sequence[int]) -> list[Sample]:
    """Without the pipeline, which takes one prompt: some steps of a part that follows another one."""
    memory = SanaWMRefinerKVCache(len(transformer.transformer_blocks))
    for layer in memory.layer_caches:
        layer.store_history(rows(seeds, 4, 16).double(), rows([seed + 100 for seed in seeds], 4, 16).double())
    latents, text = rows(seeds, 12, 4).double(), rows(seeds, 5, sana_wm_refiner.TEXT_WIDTH).double()
    mask = torch.tensor([[token < 3 + seed % 3 for token in range(5)] for seed in seeds]).double()
    rotary = transformer.build_rotary_emb_for_absolute_positions(len(seeds), [0, 1, 2], 2, 2, torch.device("cpu"), 16.0)
    config = teacache.TeaCacheConfig(rel_l1_thresh=0.12, coefficients=(1.0, 0.0))
    with teacache.enabled(transformer, config) as cache, torch.no_grad():
        for step in range(STEPS):
            timestep = torch.full((len(seeds), 12), 900.0 - 100 * step)
            latents = latents - 0.3 * transformer(
                latents, text, timestep, rotary, mask, kv_cache=memory, kv_cache_mode="inject", return_dict=False
            )[0]  # fmt: skip
    stats = [cache.stats.sample(index).calls for index in range(len(seeds))]
    return [(own, [call.computed[0] for call in calls]) for own, calls in zip(latents, stats, strict=True)]


def test_each_of_three_samples_is_as_if_alone() -> None:
    transformer = sana_wm_refiner.make_pipeline().transformer.double()
    alone = [cached(transformer, (seed,))[0] for seed in (1, 2, 3)]
    assert len({repr(decisions) for _, decisions in alone}) > 1
    for (latents, decisions), (own, own_decisions) in zip(cached(transformer, (1, 2, 3)), alone, strict=True):
        assert decisions == own_decisions
        torch.testing.assert_close(latents, own, rtol=1e-8, atol=1e-8)
