from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from jobs.actors.loading import check_devices, load
from jobs.config.job import Actors
from jobs.config.model import Model
from jobs.errors import Refused
from tests.jobs.conftest import MODEL


def model(**fields: object) -> Model:
    return Model.model_validate({**MODEL, **fields})


@torch.no_grad()
def picture(pipeline: Any) -> torch.Tensor:
    found: torch.Tensor = pipeline(
        prompt="a small red circle",
        height=64,
        width=64,
        num_inference_steps=3,
        max_sequence_length=16,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).images
    return found


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of random weights for the packaged model."""
    folder = tmp_path_factory.mktemp("lora")
    transformer = load(model(), "cpu")[0].transformer
    torch.manual_seed(0)
    transformer.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    FluxPipeline.save_lora_weights(folder, transformer_lora_layers=get_peft_model_state_dict(transformer))
    return folder


def test_weights_load_in_the_wanted_precision() -> None:
    assert load(model(dtype="bfloat16"), "cpu")[0].transformer.dtype == torch.bfloat16


# peft warns of what diffusers asks of it.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_lora_counts_by_its_scale_and_fused_as_well(lora: Path) -> None:
    def made(*loras: dict[str, object]) -> torch.Tensor:
        return picture(load(model(lora=loras), "cpu")[0])

    (file,) = lora.iterdir()
    plain, adapted = made(), made({"weights": str(lora)})
    assert (adapted - plain).abs().max() > 0.01
    assert torch.equal(made({"weights": str(file)}), adapted)
    assert torch.equal(made({"weights": str(lora), "scale": 0.0}), plain)
    half = made({"weights": str(lora), "scale": 0.5})
    assert not torch.equal(half, adapted)
    assert torch.allclose(made({"weights": str(lora), "scale": 0.5, "fuse": True}), half, atol=1e-4)
    # Two halves make a whole.
    halves = ({"weights": str(lora), "scale": 0.5}, {"weights": str(file), "scale": 0.5, "fuse": True})
    assert torch.allclose(made(halves[0], halves[0]), adapted, atol=1e-4)


def test_weights_in_groups_give_the_same_pictures() -> None:
    """Onloading to the CPU moves nothing, but runs all the hooks."""
    pipeline, cache = load(model(offload="group"), "cpu")
    plain, plain_cache = load(model(), "cpu")
    assert torch.equal(picture(pipeline), picture(plain))
    assert cache.stats.computed == plain_cache.stats.computed == 2


@pytest.mark.parametrize("offload", ["model", "sequential", "group"])
def test_offload_wants_a_gpu(offload: str) -> None:
    with pytest.raises(Refused, match=f"model flux: offload: {offload} keeps weights off a GPU, but actors have none"):
        check_devices(model(offload=offload), Actors(num_gpus=0))
    check_devices(model(offload=offload), Actors(num_gpus=1))


def test_a_device_map_wants_several_gpus() -> None:
    for num_gpus in (None, 1):
        with pytest.raises(Refused, match=r"device_map: balanced .* actors.num_gpus must be 2 or more, got [01]"):
            check_devices(model(device_map="balanced"), Actors(num_gpus=num_gpus))
    check_devices(model(device_map="balanced"), Actors(num_gpus=2))
    with pytest.raises(ValueError, match="offload and device_map exclude each other"):
        model(device_map="balanced", offload="group")


def test_context_parallel_wants_as_many_gpus() -> None:
    for num_gpus in (0, 1, 4):
        with pytest.raises(Refused, match=rf"context_parallel: 2 takes as many GPUs .* must be 2, got {num_gpus}"):
            check_devices(model(context_parallel=2), Actors(num_gpus=num_gpus))
    check_devices(model(context_parallel=2), Actors(num_gpus=2))
    with pytest.raises(ValueError, match="device_map and context_parallel exclude each other"):
        model(device_map="balanced", context_parallel=2)
