"""With what diffusers does to a transformer: adapters, offloading, casting, other processors, before and after enable.

Every change is made to a pipeline before and, on a second one, after the cache was turned on. Nothing may be lost on
the way: with every step computed the pictures are those of the changed pipeline, skipping gives the same pictures in
either order, and afterwards nothing of the cache is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from accelerate import cpu_offload
from diffusers import FluxPipeline
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor, FluxIPAdapterAttnProcessor
from peft import LoraConfig
from torch import Tensor, nn

import teacache
from teacache.cache import denoisers_of
from teacache.registry import MODELS, model_for
from tests.teacache.test_hooks import NEVER, SKIPPING, hooks_on
from tests.teacache.test_models import EXTREME, SHORT
from tests.teacache.tiny import TINY, Tiny
from tests.teacache.tiny.base import rows
from tests.teacache.tiny.flux import generate, make_pipeline

CPU = torch.device("cpu")
FLUX = TINY["FluxPipeline"]
Change = Callable[[FluxPipeline], None]


def lora(pipe: Any, *, scale: float = 1.0, fused: bool = False, unfused: bool = False) -> None:
    """On all linear layers of the blocks."""
    torch.manual_seed(1)
    for denoiser in denoisers_of(pipe):
        lists = tuple(f"{blocks.name}." for blocks in model_for(denoiser).stack)
        layers = [name for name, module in denoiser.named_modules()
                  if isinstance(module, nn.Linear) and name.startswith(lists)]  # fmt: skip
        config = LoraConfig(r=2, lora_alpha=4, target_modules=layers, init_lora_weights=False)
        denoiser.add_adapter(config, "style")  # type: ignore[operator]
        denoiser.set_adapters("style", scale)  # type: ignore[operator]
        if fused:
            denoiser.fuse_lora()  # type: ignore[operator]
        if unfused:
            denoiser.unfuse_lora()  # type: ignore[operator]
        denoiser.requires_grad_(False)


def ip_adapter(pipe: FluxPipeline) -> None:
    """As `load_ip_adapter` leaves the transformer: a projection, and processors with weights of their own."""
    torch.manual_seed(2)
    transformer, width = pipe.transformer, pipe.transformer.inner_dim
    projection = ImageProjection(image_embed_dim=6, cross_attention_dim=12, num_image_text_embeds=2)
    transformer.encoder_hid_proj = MultiIPAdapterImageProjection([projection])
    transformer.config.encoder_hid_dim_type = "ip_image_proj"
    double = partial(FluxIPAdapterAttnProcessor, width, 12, num_tokens=(2,), scale=[1.0])
    transformer.set_attn_processor(
        {name: FluxAttnProcessor() if "single" in name else double() for name in transformer.attn_processors}
    )
    transformer.requires_grad_(False)


def sequential_offload(pipe: FluxPipeline) -> None:
    """What `enable_sequential_cpu_offload` does to each component; between uses the weights are on the meta device.

    The copies are needed because accelerate takes weights on one device as they are, for tied ones.
    """
    weights = {name: weight.clone() for name, weight in pipe.transformer.state_dict().items()}
    cpu_offload(pipe.transformer, execution_device=CPU, state_dict=weights)


def group_offload(pipe: FluxPipeline, level: str, folder: Path | None = None) -> None:
    pipe.transformer.enable_group_offload(
        onload_device=CPU, offload_device=CPU, offload_type=level,
        num_blocks_per_group=1 if level == "block_level" else None,
        offload_to_disk_path=None if folder is None else str(folder),
    )  # fmt: skip


def cast_layers(pipe: FluxPipeline) -> None:
    pipe.transformer.to(torch.bfloat16)
    pipe.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)


def plain_processors(pipe: FluxPipeline) -> None:
    pipe.transformer.set_attn_processor(FluxAttnProcessor())


CHANGES: Mapping[str, Change] = {
    "LoRA": lora,
    "LoRA, scaled": partial(lora, scale=0.3),
    "LoRA, fused": partial(lora, fused=True),
    "LoRA, fused and unfused": partial(lora, fused=True, unfused=True),
    "model offload": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential offload": sequential_offload,
    "blocks offloaded": partial(group_offload, level="block_level"),
    "leaves offloaded": partial(group_offload, level="leaf_level"),
    "layerwise casting": cast_layers,
    "bfloat16": lambda pipe: pipe.to(torch.bfloat16),
    "float16": lambda pipe: pipe.to(torch.float16),
    "attention processors": plain_processors,
    "fused projections": lambda pipe: pipe.transformer.fuse_qkv_projections(),
}
TAKE_LORA = [
    model.pipelines[0]
    for model in MODELS.values()
    if issubclass(getattr(diffusers, model.transformer), PeftAdapterMixin)
]
SAME_AS_PLAIN = {
    "model offload", "sequential offload", "blocks offloaded", "leaves offloaded", "attention processors",
    "fused projections",
}  # fmt: skip


def skipping_run(pipe: Any, change_after: Change | None = None, *, tiny: Tiny = FLUX, **arguments: Any) -> Tensor:
    with teacache.enabled(pipe, SKIPPING if tiny is FLUX else EXTREME) as cache:
        if change_after is not None:
            change_after(pipe)
        latents = tiny.generate(pipe, **arguments)
    assert cache.stats.skipped > 0
    return latents


def check(change: Change, *, tiny: Tiny = FLUX, **arguments: Any) -> Tensor:
    """Returns the uncached result of the changed pipeline."""
    before, after = tiny.make(), tiny.make()
    change(before)
    uncached = tiny.generate(before, **arguments)
    with teacache.enabled(before, NEVER):
        assert torch.equal(tiny.generate(before, **arguments), uncached)
    cached = skipping_run(before, tiny=tiny, **arguments)
    assert torch.isfinite(cached).all()
    assert not torch.equal(cached, uncached)
    assert torch.equal(skipping_run(after, change, tiny=tiny, **arguments), cached)
    for pipe in (before, after):
        assert torch.equal(tiny.generate(pipe, **arguments), uncached)
        assert not any("_teacache" in name for one in denoisers_of(pipe) for name, _ in one.named_modules())
    return uncached


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_before_and_after_enable(name: str, pipe: FluxPipeline) -> None:
    changed = check(CHANGES[name])
    assert torch.equal(changed, generate(pipe)) == (name in SAME_AS_PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize("change", [name for name in CHANGES if name.startswith("LoRA")])
@pytest.mark.parametrize("name", sorted({*TAKE_LORA} - {"FluxPipeline"}))
def test_lora_in_every_class_that_takes_one(name: str, change: str) -> None:
    tiny = TINY[name]
    changed = check(CHANGES[change], tiny=tiny, steps=SHORT)
    assert not torch.equal(changed, tiny.generate(tiny.make(), steps=SHORT))


def test_lora_scale_of_a_call(pipe: FluxPipeline) -> None:
    uncached = check(lora, joint_attention_kwargs={"scale": 0.5})
    lora(pipe)
    assert not torch.equal(generate(pipe), uncached)


def test_ip_adapter(pipe: FluxPipeline) -> None:
    embeds = [rows((5,), 1, 6)]
    uncached = check(ip_adapter, ip_adapter_image_embeds=embeds, negative_ip_adapter_image_embeds=embeds)
    assert not torch.equal(generate(pipe), uncached)


@pytest.mark.usefixtures("lost_when_offloaded")
@pytest.mark.parametrize("level", ["block_level", "leaf_level"])
def test_offloaded_weights_are_not_touched(level: str, pipe: FluxPipeline, tmp_path: Path) -> None:
    folders = iter([tmp_path / "before", tmp_path / "after"])
    uncached = check(lambda changed: group_offload(changed, level, next(folders)))
    torch.testing.assert_close(uncached, generate(pipe))  # not equal: weights from a file are aligned otherwise


@pytest.mark.usefixtures("lost_when_offloaded")
def test_touching_offloaded_weights_would_show(pipe: FluxPipeline, tmp_path: Path) -> None:
    group_offload(pipe, "block_level", tmp_path)
    block = pipe.transformer.transformer_blocks[0]
    assert torch.isnan(block.norm1(torch.zeros(1, 16, 16), emb=torch.zeros(1, 16))[0]).all()


def test_diffusers_caches_work_after_ours(pipe: FluxPipeline) -> None:
    from diffusers import FirstBlockCacheConfig, PyramidAttentionBroadcastConfig

    configs: list[Any] = [
        FirstBlockCacheConfig(threshold=0.3),
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2, spatial_attention_timestep_skip_range=(-1, 2000),
            spatial_attention_block_identifiers=("transformer_blocks",), current_timestep_callback=lambda: 500,
        ),
    ]  # fmt: skip
    for config in configs:
        untouched = make_pipeline()
        untouched.transformer.enable_cache(config)
        expected = generate(untouched)
        skipping_run(pipe)
        pipe.transformer.enable_cache(config)
        assert torch.equal(generate(pipe), expected)
        pipe.transformer.disable_cache()


def test_saving_while_the_cache_is_on(pipe: FluxPipeline, tmp_path: Path) -> None:
    def saved(folder: Path) -> dict[str, bytes]:
        pipe.transformer.save_pretrained(folder)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    text, off = repr(pipe.transformer), saved(tmp_path / "off")
    keys, config, components = list(pipe.transformer.state_dict()), dict(pipe.transformer.config), pipe.components
    with teacache.enabled(pipe, SKIPPING):
        generate(pipe)
        assert saved(tmp_path / "on") == off
        assert list(pipe.transformer.state_dict()) == keys
        assert dict(pipe.transformer.config) == config
        assert pipe.components == components
        assert "_teacache" in repr(pipe.transformer)
    assert repr(pipe.transformer) == text


def test_moving_and_modes_while_the_cache_is_on(pipe: FluxPipeline) -> None:
    """`to`, `train` and `eval` go through all submodules, ours included."""
    expected = skipping_run(pipe)
    with teacache.enabled(pipe, SKIPPING):
        pipe.transformer.train().eval().requires_grad_(False)
        pipe.to("cpu")
        assert torch.equal(generate(pipe), expected)
    assert hooks_on(pipe.transformer) == []
    assert isinstance(pipe.transformer, nn.Module)
