"""Qwen-Image-Edit-2511 has two time embeddings per sample (`zero_cond_t`), one of them for the given images."""

from __future__ import annotations

import torch
from torch import Tensor

import teacache
from tests.teacache.tiny import qwenimage
from tests.teacache.tiny.base import rows

STEPS = 10


@torch.no_grad()
def test_rows_keep_both_of_their_time_embeddings() -> None:
    transformer = qwenimage.make_transformer(zero_cond_t=True).to(torch.float64).eval().requires_grad_(False)

    def denoised(seeds: tuple[int, ...]) -> tuple[Tensor, list[tuple[bool, ...]]]:
        latents, given = (rows([seed + more for seed in seeds], 4, 16).double() for more in (0, 100))
        text = rows(seeds, 5, 12).double()
        with teacache.enabled(transformer, config) as cache:
            for step in range(STEPS):
                output: Tensor = transformer(
                    hidden_states=torch.cat([latents, given], 1), encoder_hidden_states=text,
                    timestep=torch.full((len(seeds),), 1 - step / STEPS), return_dict=False,
                    img_shapes=[[(1, 2, 2), (1, 2, 2)]] * len(seeds),
                )[0]  # fmt: skip
                # Samples move at speeds of their own, so that they decide differently.
                speeds = torch.tensor(seeds).reshape(-1, 1, 1) / 20
                latents = latents - speeds * output[:, :4]
            return latents, list(cache.stats.calls[0].computed)

    config = teacache.TeaCacheConfig(rel_l1_thresh=0.1, coefficients=(1.0, 0.0))
    batch, decisions = denoised((1, 4, 9))
    assert len(set(decisions)) > 1
    assert not all(map(all, decisions))
    for index, seed in enumerate((1, 4, 9)):
        (alone,), (own,) = denoised((seed,))
        assert decisions[index] == own
        torch.testing.assert_close(batch[index], alone, rtol=1e-8, atol=1e-8)
