"""The published algorithm, done by hooks: exact where nothing is skipped, and exact where something is."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn

import teacache
from teacache.attachment import ATTRIBUTE
from tests.teacache.tiny.flux import TEXT_TOKENS, embeddings, generate, make_pipeline

# On the tiny model the indicator moves by about 0.05 a step, so these skip every second or third step.
SKIPPING = teacache.TeaCacheConfig(rel_l1_thresh=0.12, coefficients=(1.0, 0.0))
NEVER = teacache.TeaCacheConfig(rel_l1_thresh=0.0, coefficients=(1.0, 0.0))


def hooks_on(transformer: nn.Module) -> list[str]:
    """The modules that still carry something of ours."""
    return [
        name
        for name, module in transformer.named_modules()
        if ATTRIBUTE in name or "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks
    ]


class PlainTeaCache:
    """TeaCache4FLUX/teacache_flux.py's algorithm as a plain loop over the model's parts, for one guidance branch."""

    def __init__(self, model: FluxTransformer2DModel, threshold: float, coefficients: tuple[float, ...], steps: int):
        self.model, self.threshold, self.coefficients, self.steps = model, threshold, coefficients, steps
        self.count, self.accumulated = 0, 0.0
        self.previous: Tensor | None = None
        self.residual: Tensor | None = None
        self.decisions: list[bool] = []

    def __call__(self, latents: Tensor, sigma: Tensor, tokens: Tensor, pooled: Tensor, ids: Tensor) -> Tensor:
        model = self.model
        hidden = model.x_embedder(latents)
        temb = model.time_text_embed(sigma * 1000, pooled)
        indicator = model.transformer_blocks[0].norm1(hidden, emb=temb)[0]
        if self.count in (0, self.steps - 1):
            compute, self.accumulated = True, 0.0
        else:
            assert self.previous is not None
            change = ((indicator - self.previous).abs().mean() / self.previous.abs().mean()).item()
            powers = range(len(self.coefficients) - 1, -1, -1)
            self.accumulated += sum(c * change**power for c, power in zip(self.coefficients, powers, strict=True))
            compute = not self.accumulated < self.threshold
            self.accumulated = 0.0 if compute else self.accumulated
        self.previous = indicator
        self.count += 1
        self.decisions.append(compute)
        if compute:
            before, text = hidden, model.context_embedder(tokens)
            rotary = model.pos_embed(ids)
            for block in (*model.transformer_blocks, *model.single_transformer_blocks):
                text, hidden = block(hidden, text, temb, rotary)
            self.residual = hidden - before
        else:
            hidden = hidden + self.residual
        output: Tensor = model.proj_out(model.norm_out(hidden, temb))
        return output


def plain_run(pipe: FluxPipeline, threshold: float, coefficients: tuple[float, ...], steps: int,
              guided: bool) -> tuple[Tensor, list[PlainTeaCache]]:  # fmt: skip
    """The Euler loop of FluxPipeline with `PlainTeaCache` as its denoiser."""
    branches = [PlainTeaCache(pipe.transformer, threshold, coefficients, steps) for _ in range(1 + guided)]
    texts = [embeddings([seed]) for seed in (0, 1000)][: len(branches)]
    latents, image_ids = pipe.prepare_latents(
        1, 4, 64, 64, torch.float32, torch.device("cpu"), torch.Generator().manual_seed(0)
    )
    ids = torch.cat([torch.zeros(TEXT_TOKENS, 3), image_ids])
    sigmas = [*torch.linspace(1, 1 / steps, steps).tolist(), 0.0]
    for sigma, following in pairwise(sigmas):
        outputs = [branch(latents, torch.tensor([sigma]), *text, ids)
                   for branch, text in zip(branches, texts, strict=True)]  # fmt: skip
        velocity = outputs[0] if not guided else outputs[1] + 2.0 * (outputs[0] - outputs[1])
        latents = latents + (following - sigma) * velocity
    return latents, branches


def test_nothing_skipped_is_bit_identical(pipe: FluxPipeline) -> None:
    uncached = generate(pipe, seeds=(0, 1))
    with teacache.enabled(pipe, NEVER) as cache:
        cached = generate(pipe, seeds=(0, 1))
    assert torch.equal(cached, uncached)
    assert cache.stats.computed == cache.stats.steps == 24


@pytest.mark.parametrize("guided", [False, True], ids=["one branch", "two branches"])
@pytest.mark.parametrize("coefficients", [(1.0, 0.0), (30.0, -2.0, 1.0, 0.02), (-900.0, 90.0, 0.5, 0.0)])
def test_decisions_are_those_of_the_published_loop(
    pipe: FluxPipeline, guided: bool, coefficients: tuple[float, ...]
) -> None:
    config = teacache.TeaCacheConfig(rel_l1_thresh=0.12, coefficients=coefficients, strict=True)
    with teacache.enabled(pipe, config) as cache:
        latents = generate(pipe, steps=20, guided=guided)
    expected, branches = plain_run(pipe, 0.12, coefficients, 20, guided)
    calls = cache.stats.calls
    assert [list(call.computed[0]) for call in calls] == [branch.decisions for branch in branches]
    assert 0 < cache.stats.skipped < cache.stats.steps - 2
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-5)


def denoise(transformer: FluxTransformer2DModel, latents: Tensor, sigma: float, **arguments: Any) -> Tensor:
    tokens, pooled = embeddings([0])
    output: Tensor = transformer(
        hidden_states=latents, timestep=torch.tensor([sigma]), encoder_hidden_states=tokens, pooled_projections=pooled,
        txt_ids=torch.zeros(TEXT_TOKENS, 3), img_ids=torch.zeros(16, 3), return_dict=False, **arguments,
    )[0]  # fmt: skip
    return output


@pytest.mark.parametrize("control", [False, True], ids=["plain", "ControlNet"])
def test_a_skip_is_the_tail_of_input_plus_residual(transformer: FluxTransformer2DModel, control: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randn(1, 16, 16, generator=generator) for _ in range(2))
    width = transformer.inner_dim
    samples = {
        "controlnet_block_samples": [torch.randn(1, 16, width, generator=generator) for _ in range(2)],
        "controlnet_single_block_samples": [torch.randn(1, 16, width, generator=generator) for _ in range(3)],
    }
    arguments: dict[str, Any] = samples if control else {}
    added_after_the_stack = samples["controlnet_single_block_samples"][-1] if control else torch.zeros(1, 16, width)

    tail_inputs: list[Tensor] = []
    watch = transformer.norm_out.register_forward_pre_hook(lambda module, args: tail_inputs.append(args[0]))
    config = teacache.TeaCacheConfig(rel_l1_thresh=1e9, coefficients=(1.0, 0.0), max_consecutive_skips=99)
    with teacache.enabled(transformer, config) as cache:
        denoise(transformer, first, 0.9, **arguments)
        skipped = denoise(transformer, second, 0.8, **arguments)
    watch.remove()
    assert cache.stats.calls[0].computed == ((True, False),)

    residual = tail_inputs[0] - added_after_the_stack - transformer.x_embedder(first)
    tail_input = transformer.x_embedder(second) + residual + added_after_the_stack
    temb = transformer.time_text_embed(torch.tensor([800.0]), embeddings([0])[1])
    expected = transformer.proj_out(transformer.norm_out(tail_input, temb))
    torch.testing.assert_close(skipped, expected, rtol=1e-5, atol=1e-5)


def test_hooks_are_gone_after_disable(pipe: FluxPipeline) -> None:
    teacache.enable(pipe, SKIPPING)
    assert hooks_on(pipe.transformer)
    teacache.disable(pipe)
    assert hooks_on(pipe.transformer) == []
    assert torch.equal(generate(pipe), generate(make_pipeline()))


def test_hooks_are_gone_after_an_exception(pipe: FluxPipeline) -> None:
    with pytest.raises(ZeroDivisionError), teacache.enabled(pipe, SKIPPING):
        1 / 0  # noqa: B018
    assert hooks_on(pipe.transformer) == []


class Abort(Exception):
    pass


def abort_at(step: int) -> Any:
    def callback(pipe: Any, index: int, timestep: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        if index == step:
            raise Abort
        return arguments

    return callback


@pytest.mark.parametrize("where", ["pipeline", "transformer"])
@pytest.mark.parametrize("step", [0, 5, 10])
@pytest.mark.parametrize("guided", [False, True], ids=["one branch", "two branches"])
def test_an_aborted_run_leaves_nothing_behind(pipe: FluxPipeline, where: str, step: int, guided: bool) -> None:
    target = pipe if where == "pipeline" else pipe.transformer
    untouched = make_pipeline()
    with teacache.enabled(untouched, SKIPPING) as cache:
        fresh = generate(untouched, guided=guided)
        fresh_decisions = [call.computed for call in cache.stats.calls]
    config = teacache.TeaCacheConfig(rel_l1_thresh=0.12, coefficients=(1.0, 0.0), num_inference_steps=12)
    with teacache.enabled(target, SKIPPING if where == "pipeline" else config) as cache:
        with pytest.raises(Abort):
            generate(pipe, seeds=(7,), guided=guided, callback_on_step_end=abort_at(step))
        again = generate(pipe, guided=guided)
    assert torch.equal(again, fresh)
    assert [call.computed for call in cache.stats.calls] == fresh_decisions


@pytest.mark.parametrize("where", ["pipeline", "transformer"])
def test_a_forward_that_raises_leaves_nothing_behind(pipe: FluxPipeline, where: str) -> None:
    block = pipe.transformer.single_transformer_blocks[1]
    with teacache.enabled(pipe if where == "pipeline" else pipe.transformer, SKIPPING) as cache:
        fresh = generate(pipe)
        cache.take_stats()
        calls = 0

        def fail_later(module: Any, args: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise Abort

        handle = block.register_forward_pre_hook(fail_later)
        with pytest.raises(Abort):
            generate(pipe, seeds=(7,))
        handle.remove()
        assert cache.stats == teacache.Stats()
        assert torch.equal(generate(pipe), fresh)


def loop(
    transformer: FluxTransformer2DModel, *inputs: Tensor, contexts: tuple[str, ...] | None = None
) -> list[list[Tensor]]:
    """Ten timesteps by hand; the inputs take turns at each. Returns the outputs of each input."""
    outputs: list[list[Tensor]] = [[] for _ in inputs]
    for step in range(10):
        for index, latents in enumerate(inputs):
            with transformer.cache_context(contexts[index]) if contexts else nullcontext():
                outputs[index].append(denoise(transformer, latents, 1 - step / 10))
    return outputs


def random_latents(seed: int) -> Tensor:
    return torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(seed))


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_interleaved_branches_with_contexts_are_as_if_alone(transformer: FluxTransformer2DModel) -> None:
    inputs = [random_latents(1), random_latents(2)]
    alone = []
    for latents in inputs:
        with teacache.enabled(transformer, SKIPPING):
            alone += loop(transformer, latents)
    with teacache.enabled(transformer, SKIPPING) as cache:
        together = loop(transformer, *inputs, contexts=("cond", "uncond"))
    assert [call.branch for call in cache.stats.calls] == ["cond", "uncond"]
    assert cache.stats.skipped > 0
    assert all(same(*pair) for pair in zip(together, alone, strict=True))


def test_interleaved_branches_without_contexts_do_not_mix(transformer: FluxTransformer2DModel) -> None:
    """The first branch comes out the same whatever the second one sees."""
    firsts = []
    for seed in (2, 3):
        with teacache.enabled(transformer, SKIPPING) as cache:
            firsts.append(loop(transformer, random_latents(1), random_latents(seed))[0])
        assert [call.branch for call in cache.stats.calls] == ["0", "1"]
        assert all(call.skipped > 0 for call in cache.stats.calls)
    assert same(*firsts)


@pytest.mark.parametrize("order", [0, 1])
def test_a_loop_given_up_at_its_first_step_leaves_nothing(transformer: FluxTransformer2DModel, order: int) -> None:
    """Nothing tells the loop that follows from a second branch; it comes out the same whatever was given up."""
    config = replace(SKIPPING, order=order)
    outputs = []
    for seed in (2, 3):
        with teacache.enabled(transformer, config) as cache:
            denoise(transformer, random_latents(seed), 1.0)
            outputs.append(loop(transformer, random_latents(1))[0])
        assert cache.stats.skipped > 0
    assert same(*outputs)


@pytest.mark.parametrize("guided", [False, True], ids=["one branch", "two branches"])
def test_a_transformer_run_by_another_pipeline_is_followed_by_its_timesteps(pipe: FluxPipeline, guided: bool) -> None:
    other = FluxPipeline(**{**pipe.components, "scheduler": FlowMatchEulerDiscreteScheduler()})
    other.set_progress_bar_config(disable=True)
    uncached = generate(other, guided=guided)
    with teacache.enabled(pipe, SKIPPING) as cache:
        first, second = (generate(other, guided=guided) for _ in range(2))
        assert cache.stats.skipped > 0
        assert len(cache.stats.calls) <= 3 * (1 + guided)
        own = generate(pipe, guided=guided)
    with teacache.enabled(pipe, SKIPPING):
        assert torch.equal(own, generate(pipe, guided=guided))
    assert torch.isfinite(first).all()
    torch.testing.assert_close(second, uncached, rtol=0.5, atol=0.5)


def backward_at(transformer: FluxTransformer2DModel, sigma: float) -> Tensor:
    """The gradient of a step's output with respect to its latents."""
    latents = random_latents(1).requires_grad_()
    torch.autograd.backward(denoise(transformer, latents, sigma).sum())
    assert latents.grad is not None
    return latents.grad


@pytest.mark.parametrize("checkpointing", [False, True])
def test_with_gradients_every_step_is_computed(transformer: FluxTransformer2DModel, checkpointing: bool) -> None:
    if checkpointing:
        transformer.train().requires_grad_(True).enable_gradient_checkpointing()
    sigmas = [1 - step / 10 for step in range(4)]
    expected = [backward_at(transformer, sigma) for sigma in sigmas]
    with teacache.enabled(transformer, SKIPPING) as cache:
        with pytest.warns(UserWarning, match="gradients are being recorded"):
            gradients = [backward_at(transformer, sigma) for sigma in sigmas]
        assert cache.stats.computed == 4
    assert same(gradients, expected)


@pytest.mark.parametrize("offload_first", [True, False])
def test_model_offload_and_cache_in_either_order(pipe: FluxPipeline, offload_first: bool) -> None:
    """accelerate replaces the transformer's forward and puts it back at the end of every run."""
    with teacache.enabled(pipe, SKIPPING):
        expected = generate(pipe)
    if offload_first:
        pipe.enable_model_cpu_offload(device="cpu")
    with teacache.enabled(pipe, SKIPPING) as cache:
        if not offload_first:
            pipe.enable_model_cpu_offload(device="cpu")
        assert all(torch.equal(generate(pipe), expected) for _ in range(3))
        assert cache.stats.steps == 36
    generate(pipe)
    assert cache.stats.steps == 36
    assert pipe.transformer._hf_hook is not None


@pytest.mark.parametrize("offload_first", [True, False])
def test_group_offload_and_cache_in_either_order(transformer: FluxTransformer2DModel, offload_first: bool) -> None:
    """Same values and steps; `test_compat.py` has weights that are really gone between uses."""
    with teacache.enabled(transformer, SKIPPING):
        expected = loop(transformer, random_latents(1))[0]

    def offload() -> None:
        transformer.enable_group_offload(torch.device("cpu"), torch.device("cpu"), offload_type="block_level",
                                         num_blocks_per_group=1)  # fmt: skip

    if offload_first:
        offload()
    with teacache.enabled(transformer, SKIPPING) as cache:
        if not offload_first:
            offload()
        assert same(loop(transformer, random_latents(1))[0], expected)
    assert cache.stats.skipped > 0
    assert not any(ATTRIBUTE in name for name, _ in transformer.named_modules())
    uncached = loop(transformer, random_latents(1))[0]
    assert not same(uncached, expected)
