import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
from diffusers import DiffusionPipeline

from jobs.actors.models import SPLIT, check, check_cache, describe_call
from jobs.config.cache import Cache
from jobs.config.job import Generation
from jobs.config.model import Lora, Model
from jobs.errors import Refused
from jobs.paths import packaged
from tests.teacache import test_ranks

FLUX = Model(pipeline="demo/flux", dtype="float32")


def folder(path: Path, class_name: Any = "FluxPipeline") -> Model:
    path.mkdir(exist_ok=True)
    (path / "model_index.json").write_text(json.dumps({"_class_name": class_name, "_diffusers_version": "0.42.1"}))
    (path / "model.safetensors").touch()
    return Model(pipeline=str(path))


def test_a_call_is_read_without_loading_weights(tmp_path: Path) -> None:
    call = describe_call(folder(tmp_path))
    assert call.pipeline == "FluxPipeline"
    assert {"max_sequence_length", "guidance_scale", "true_cfg_scale"} <= set(call.settable)
    # What is ours to give, or can't stand in YAML, or would be one for all rows.
    assert not {"self", "prompt", "generator", "latents", "prompt_2", "num_images_per_prompt"} & set(call.settable)
    assert not call.makes_videos


def test_a_pipeline_that_takes_frames_makes_videos(tmp_path: Path) -> None:
    call = describe_call(folder(tmp_path, "MochiPipeline"))
    assert call.makes_videos
    assert "num_frames" in call.settable
    assert "num_videos_per_prompt" not in call.settable
    with pytest.raises(Refused, match="prompts: FluxPipeline of model flux takes no num_frames; drop that column"):
        check(FLUX, Generation(), ["num_frames"])


def test_settings_and_columns_that_fit_pass() -> None:
    call = check(FLUX, Generation.model_validate({"max_sequence_length": 16, "sigmas": [1.0, 0.5]}), ["guidance_scale"])
    assert {"height", "width", "guidance_scale"} <= call.accepted


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"max_sequence": 16},
            "generation.max_sequence: FluxPipeline of model flux takes no max_sequence; known: g",
        ),
        ({"max_sequence_length": "long"}, "generation.max_sequence_length: .*integer.*, got 'long'"),
        ({"callback_on_step_end": "x"}, "takes no callback_on_step_end"),
        ({"output_type": "pil"}, "takes no output_type"),
    ],
)
def test_settings_that_the_pipeline_does_not_take_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        check(FLUX, Generation.model_validate(settings), [])


@pytest.mark.parametrize(
    ("class_name", "sentence"),
    [
        ("StableDiffusionLatentUpscalePipeline", "make pictures from prompts alone: it takes no height, width"),
        ("NoSuchPipeline", "wants pipeline class NoSuchPipeline, which diffusers doesn't have"),
        (["my_code", "MyPipeline"], "which diffusers doesn't have"),
        ("utils", "wants pipeline class utils, which diffusers doesn't have"),
        ("FluxTransformer2DModel", "which diffusers doesn't have"),
    ],
)
def test_pipelines_that_cannot_do_the_job_are_refused(tmp_path: Path, class_name: Any, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        check(folder(tmp_path, class_name), Generation(), [])


def test_a_guidance_scale_that_has_no_effect_is_refused_only_if_asked_for(tmp_path: Path) -> None:
    model = folder(tmp_path, "LatentConsistencyModelPipeline")
    no_negative = "takes no negative_prompt"
    assert "negative_prompt" not in check(model, Generation(), []).accepted
    with pytest.raises(Refused, match=no_negative):
        check(model, Generation(negative_prompt="blur"), [])
    with pytest.raises(Refused, match=f"prompts: .*{no_negative}; drop that column"):
        check(model, Generation(), ["prompt", "negative_prompt"])


def test_places_that_hold_no_pipeline_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    unsafe = Path(folder(tmp_path / "unsafe").pipeline)
    (unsafe / "model.safetensors").rename(unsafe / "model.bin")
    for pipeline, sentence in {
        str(tmp_path / "empty"): "is no pipeline folder: it has no model_index.json",
        str(unsafe): "has no .safetensors file",
        str(tmp_path / "nowhere"): "neither a pipeline folder nor a hub id",
        "./nowhere": "neither a pipeline folder nor a hub id",
        "flux": "neither a pipeline folder nor a hub id",
        "models/flux/dev": "neither a pipeline folder nor a hub id",
    }.items():
        with pytest.raises(Refused, match=sentence):
            check(Model(pipeline=pipeline), Generation(), [])


def test_a_broken_index_is_refused(tmp_path: Path) -> None:
    model = folder(tmp_path)
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(Refused, match="can't read"):
        check(model, Generation(), [])


def test_weights_that_are_cut_short_or_missing_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / "flux"
    shutil.copytree(packaged("demo/flux"), copy)
    model = Model(pipeline=str(copy))
    check(model, Generation(), [])
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(Refused, match=r"vae/diffusion_pytorch_model\.safetensors is no whole safetensors file: "):
        check(model, Generation(), [])
    weights.unlink()
    with pytest.raises(Refused, match=r"flux/vae has no \.safetensors file"):
        check(model, Generation(), [])


def test_hints_that_cannot_be_resolved_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(DiffusionPipeline):
        def __call__(self, prompt: "NoSuchType") -> None:  # type: ignore[name-defined] # noqa: F821
            pass

    monkeypatch.setattr(diffusers, "OddPipeline", Odd, raising=False)
    call = describe_call(folder(tmp_path, "OddPipeline"))
    assert (sorted(call.accepted), call.types) == (["prompt"], {})


def test_a_lora_must_be_there_and_in_safetensors(tmp_path: Path) -> None:
    (tmp_path / "lora.bin").touch()
    (tmp_path / "empty").mkdir()
    for weights in (tmp_path / "lora.bin", tmp_path / "empty", tmp_path / "none.safetensors"):
        with pytest.raises(Refused, match=r"model flux: lora: .* is no .safetensors file, nor a folder that holds one"):
            check(FLUX.model_copy(update={"lora": (Lora(weights=str(weights)),)}), Generation(), [])
    # A hub id is not asked for here.
    check(FLUX.model_copy(update={"lora": (Lora(weights="owner/name"),)}), Generation(), [])
    plain = folder(tmp_path / "plain", "DiTPipeline")
    with pytest.raises(Refused):
        check(plain.model_copy(update={"lora": (Lora(weights="owner/name"),)}), Generation(), [])


def test_a_model_that_the_cache_cannot_take_is_refused_without_its_weights(tmp_path: Path) -> None:
    copy = tmp_path / "flux"
    shutil.copytree(packaged("demo/flux"), copy, ignore=shutil.ignore_patterns("teacache.json"))
    with pytest.raises(Refused, match=r"model flux: CoefficientsError: no coefficients .* teacache\.calibrate"):
        check(Model(pipeline=str(copy)), Generation(), [])
    for cache in ({"method": "none"}, {"method": "teacache", "coefficients": [1.0, 0.0]}):
        check(Model(pipeline=str(copy), cache=Cache.model_validate(cache)), Generation(), [])
    index = json.loads((copy / "model_index.json").read_text())
    index["transformer"] = ["diffusers", "UVit2DModel"]
    (copy / "model_index.json").write_text(json.dumps(index))
    (copy / "transformer" / "config.json").write_text("{}")
    with pytest.raises(Refused, match=r"UnsupportedModelError: .* does not know UVit2DModel.* Known: .*Flux"):
        check(Model(pipeline=str(copy)), Generation(), [])


def split(place: str, size: int) -> Model:
    cache = {"method": "adaptive"}
    return Model.model_validate({"pipeline": place, "name": "flux", "cache": cache, "context_parallel": size})


@pytest.mark.parametrize("case", test_ranks.CASES)
def test_what_was_tried_in_two_processes_may_be_split(case: str, tmp_path: Path) -> None:
    denoiser = test_ranks.CASES[case][0].make().transformer
    denoiser.save_config(tmp_path / "transformer")
    index = {"transformer": ["diffusers", type(denoiser).__name__]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    check_cache(split(str(tmp_path), 2))
    with pytest.raises(Refused, match="context_parallel: 3 leaves a process without any of the 2 attention heads"):
        check_cache(split(str(tmp_path), 3))


def test_nothing_else_may_be_split() -> None:
    assert {type(tiny.make().transformer).__name__ for tiny, _ in test_ranks.CASES.values()} == SPLIT
    with pytest.raises(Refused, match="context_parallel: splitting Lumina2Transformer2DModel among processes was not"):
        check_cache(split("demo/lumina2", 2))
