"""What a person types: one job, as YAML and command-line overrides. Unknown keys are refused."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.config.cache import Cache
from jobs.config.media import Media
from jobs.config.model import Model
from jobs.config.section import Name, Section, Text
from jobs.config.storage_options import StorageOptions
from jobs.config.storage_options import check as check_storage_options
from jobs.config.targets import Target
from jobs.errors import has_password, redact
from jobs.nights.night import Night, check_placeholders

LogFormat = Literal["text", "json"]


class Generation(BaseModel):
    """Arguments of the pipeline call. Columns of the same name in the prompts override them row by row.

    Other arguments of the pipeline's `__call__` are taken as well and checked against it.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    num_inference_steps: int = Field(default=28, gt=0, description="denoising steps")
    width: int = Field(default=1024, gt=0, description="pixels")
    height: int = Field(default=1024, gt=0, description="pixels")
    guidance_scale: float = Field(default=3.5, description="passed on if the pipeline takes it")
    num_frames: int | None = Field(default=None, gt=0, description="of a video; the pipeline's own number if not given")
    negative_prompt: str | None = Field(default=None, description="for rows that bring none")
    samples: int = Field(default=1, gt=0, description="of each prompt, each a row of its own: fox, fox-1, fox-2 ...")

    @model_validator(mode="after")
    def _is_plain(self) -> Generation:
        try:
            json.dumps(self.extra, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError(f"only finite numbers, texts, lists and mappings can be given, got {self.extra}") from None
        return self

    @property
    def extra(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Actors(Section):
    """The actors that hold one pipeline each."""

    count: int = Field(default=1, gt=0, description="actors per model")
    num_gpus: float | None = Field(default=None, ge=0, description="per actor; 1 if the cluster has GPUs, else 0")
    num_cpus: float = Field(default=1, ge=0, description="per actor; also its torch threads")
    batch_size: int = Field(default=4, gt=0, description="prompts per pipeline call; halved where memory runs out")
    exact: bool = Field(
        default=False,
        description="a pipeline call for each row: to the last bit, its bytes depend on num_cpus and the device only",
    )
    batch_timeout_seconds: float = Field(
        default=3600, gt=0, description="a call that takes longer hangs, and its actor is replaced"
    )


class Audit(Section):
    """The share of the work that is done a second time with the cache off, to measure speed-up and fidelity."""

    fraction: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="of batches, chosen by hash of row id; none where cache.method is none",
    )
    keep: int = Field(
        default=200, ge=0, description="about so many uncached twins per model are kept, for the report's pairs"
    )


class Alarm(Section):
    """Limits of a nightly batch, each checked per model by `python -m jobs history`, which then ends with code 3."""

    min_speedup: float | None = Field(default=None, ge=0, description="of the measured speed-up")
    max_failure_rate: float | None = Field(default=None, ge=0, le=1, description="of rows failed over rows tried")
    min_psnr: float | None = Field(default=None, description="of the median PSNR to uncached, in dB")
    min_ssim: float | None = Field(default=None, description="of the median SSIM to uncached")
    min_rows_per_second: float | None = Field(default=None, ge=0, description="of the latest run, start-up apart")


class Job(Section):
    """One job: prompts in, pictures and a manifest out."""

    name: Name = Field(description="of the job")
    prompts: Text = Field(description="Parquet file, folder of shards or glob; any fsspec URL; may hold {date}")
    skip_unreadable_shards: bool = Field(default=False, description="go on without shards that can't be read")
    output: Text = Field(
        description="folder; any fsspec URL; s3://images/fox/{date} makes a nightly job, a folder for each night"
    )
    night: Night = Field(default_factory=lambda: Night(), description="which night {date} stands for")
    storage_options: StorageOptions = Field(
        default_factory=dict,
        description="by protocol, for fsspec, such as s3.endpoint_url; credentials come from the environment only",
    )
    model: Model | None = Field(default=None, description="the one model, or use models")
    models: tuple[Model, ...] = Field(default=(), description="a list of models, each run on all prompts")
    seed: int = Field(default=0, description="each row's own seed derives from it and the row id")
    generation: Generation = Field(default_factory=lambda: Generation(), description="arguments of the pipeline call")
    media: Media = Field(default_factory=lambda: Media(), description="file format of pictures and videos")
    actors: Actors = Field(default_factory=lambda: Actors(), description="how many, and what each takes")
    audit: Audit = Field(default_factory=lambda: Audit(), description="the paired baseline")
    price_per_hour: float | None = Field(default=None, ge=0, description="of a GPU hour; without GPUs, of a CPU hour")
    alarm: Alarm = Field(default_factory=lambda: Alarm(), description="limits that ring when they are passed")
    log_format: LogFormat = Field(default="text", description="text, or json for a line per row to collect")

    @model_validator(mode="after")
    def _names_models(self) -> Job:
        if bool(self.model) == bool(self.models):
            raise ValueError("give either model or models, and not both" if self.model else "model is missing")
        names = [model.name for model in self.each_model]
        if len(set(names)) < len(names):
            raise ValueError(f"models need names of their own, got {', '.join(names)}; set models[].name")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Job:
        for model in self.each_model:
            self.actors_of(model)
        check_storage_options(self.storage_options)
        for name, url in (("prompts", self.prompts), ("output", self.output)):
            if has_password(url):
                raise ValueError(
                    f"{name}: {redact(url)} was given with a password, and a job file is copied, logged and shared; "
                    "credentials come from the environment or the usual files"
                )
        check_placeholders({"prompts": self.prompts, "output": self.output})
        return self

    def actors_of(self, model: Model) -> Actors:
        """The job's actors with what the model wants otherwise. Raises ValueError for what no actor takes."""
        try:
            return Actors.model_validate({**self.actors.model_dump(), **model.actors})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"actors.{place} of model {model.name}: {first['msg']}, got {first['input']!r}") from None

    @property
    def each_model(self) -> tuple[Model, ...]:
        return (self.model,) if self.model else self.models


SECTIONS: dict[str, type[BaseModel]] = {
    "model": Model,
    "models": Model,
    "cache": Cache,
    "target": Target,
    "generation": Generation,
    "media": Media,
    "actors": Actors,
    "audit": Audit,
    "alarm": Alarm,
    "night": Night,
}
"""What each nested key of a job holds."""
