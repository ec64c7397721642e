"""Weights that lie on the disk, or in eight bits, between uses, or are of several types, in every real pipeline: the
indicator asks for none that are not where they are to be computed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import teacache
from teacache.cache import denoisers_of
from tests.teacache.test_hooks import NEVER
from tests.teacache.test_models import EXTREME
from tests.teacache.tiny import TINY, Tiny
from tests.teacache.tiny.base import quiet

CPU = torch.device("cpu")
NOT_IN_DIFFUSERS = {"DiTPipeline", "HunyuanDiTPipeline"}
"""Whose transformers refuse to be offloaded in groups."""

READ_AFTER_THE_RUN = {"KandinskyPriorPipeline", "KandinskyV22PriorPipeline"}
"""Whose pipelines take weights that lie on the disk again, cache or no cache."""


def offload_blocks(pipe: Any, folder: Path) -> None:
    for number, denoiser in enumerate(denoisers_of(pipe)):
        denoiser.enable_group_offload(  # type: ignore[operator]
            onload_device=CPU, offload_device=CPU, offload_type="block_level", num_blocks_per_group=1,
            offload_to_disk_path=str(folder / str(number)),
        )  # fmt: skip


@pytest.mark.some_classes
@pytest.mark.usefixtures("lost_when_offloaded")
@pytest.mark.parametrize("name", sorted({*TINY} - NOT_IN_DIFFUSERS - READ_AFTER_THE_RUN))
def test_a_run_with_blocks_offloaded_is_as_without(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    pipe = tiny.make()
    with teacache.enabled(pipe, EXTREME) as cache:
        expected = tiny.generate(pipe, steps=5)
    offload_blocks(pipe, tmp_path)
    with teacache.enabled(pipe, EXTREME) as offloaded:
        found = tiny.generate(pipe, steps=5)
    assert cache.stats.skipped > 0
    assert [call.computed for call in offloaded.stats.calls] == [call.computed for call in cache.stats.calls]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)  # weights from a file are aligned otherwise


@pytest.mark.usefixtures("lost_when_offloaded")
@pytest.mark.parametrize("name", sorted(READ_AFTER_THE_RUN))
def test_what_a_pipeline_reads_after_its_run_is_lost(name: str, tmp_path: Path) -> None:
    pipe = TINY[name].make()
    offload_blocks(pipe, tmp_path)
    assert torch.isnan(TINY[name].generate(pipe, steps=2)).all()


@pytest.mark.parametrize("name", sorted(NOT_IN_DIFFUSERS))
def test_what_diffusers_does_not_offload(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="group offload"):
        offload_blocks(TINY[name].make(), tmp_path)


def check(tiny: Tiny, pipe: Any) -> None:
    """In the precision that the pipeline has: exact where nothing is skipped, and finite where something is."""
    uncached = tiny.generate(pipe, steps=5)
    with teacache.enabled(pipe, NEVER):
        assert torch.equal(tiny.generate(pipe, steps=5), uncached)
    with teacache.enabled(pipe, EXTREME) as cache:
        cached = tiny.generate(pipe, steps=5)
    assert cache.stats.skipped > 0
    assert torch.isfinite(cached).all()
    assert not torch.equal(cached, uncached)


MISMATCH = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")
"""Some norms compute in float32 with weights that are not."""


@MISMATCH
@pytest.mark.some_classes
@pytest.mark.parametrize("name", [name for name, tiny in TINY.items() if torch.bfloat16 in tiny.dtypes])
def test_layerwise_casting(name: str) -> None:
    pipe = TINY[name].make().to(torch.bfloat16)
    for denoiser in denoisers_of(pipe):
        denoiser.enable_layerwise_casting(  # type: ignore[operator]
            storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16
        )
    check(TINY[name], pipe)


KEPT = {
    "AnyFlowFARPipeline", "AnyFlowPipeline", "ChronoEditPipeline", "Cosmos3OmniPipeline",
    "CosmosTextToWorldPipeline", "Flux3DistilledModularPipeline", "Flux3ModularPipeline", "HeliosPipeline",
    "JoyImageEditPlusPipeline", "Kandinsky5T2VPipeline", "Kandinsky6SRPipeline", "Kandinsky6TI2VAPipeline",
    "Krea2Pipeline", "MiniMaxH3ModularPipeline", "SkyReelsV2Pipeline", "WanAnimate2ModularPipeline",
    "WanAnimatePipeline", "WanImageToVideoPipeline", "WanModularPipeline", "WanPipeline", "WanVACEPipeline",
    "WanVideoToVideoPipeline",
}  # fmt: skip


@MISMATCH
@pytest.mark.parametrize("name", sorted(KEPT))
def test_bfloat16_where_some_weights_stay_in_float32(name: str, tmp_path: Path) -> None:
    """Of what is loaded in bfloat16 diffusers keeps some weights in float32.

    (SANA-WM has no run in bfloat16 at all here: its grid refuses it on a CPU.)
    """
    pipe = TINY[name].make()
    pipe.transformer.save_pretrained(tmp_path)
    pipe.transformer = type(pipe.transformer).from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert {weight.dtype for weight in pipe.transformer.parameters()} == {torch.bfloat16, torch.float32}
    check(TINY[name], quiet(pipe))
