"""The files that pictures and videos become."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.config.section import Section
from jobs.media.formats import CODECS, FORMATS, VIDEO


class Media(Section):
    """What files the pictures and videos become. A setting that the format does not heed is refused."""

    format: Literal["png", "jpeg", "webp", "mp4", "webm"] | None = Field(
        default=None, description="png, jpeg, webp; for videos mp4, webm; png and mp4 if not given"
    )
    quality: int | None = Field(default=None, ge=1, le=100, description="of jpeg and webp; 90 if not given")
    codec: Literal["h264", "vp9", "av1"] | None = Field(
        default=None, description="h264 or av1 in mp4, vp9 or av1 in webm; the first of each if not given"
    )
    crf: int | None = Field(
        default=None, ge=0, le=63, description="of videos, lower is better and larger; 18 for h264, 24 for vp9 and av1"
    )
    fps: float | None = Field(default=None, gt=0, description="frames per second of a video; 24 if not given")
    layout: Literal["files", "webdataset", "parquet"] = Field(
        default="files",
        description="a file each, or a shard per batch: WebDataset tar, Parquet with the bytes in it",
    )
    embed_metadata: bool = Field(
        default=False, description="prompt and settings in the file: PNG text, EXIF UserComment, comment tag of a video"
    )

    @model_validator(mode="after")
    def _settings_belong_to_format(self) -> Media:
        if self.quality is not None and self.format is None:
            raise ValueError("quality goes with media.format jpeg or webp")
        unheeded = [
            name
            for name in ("quality", "codec", "crf", "fps")
            if self.format and getattr(self, name) is not None and name not in FORMATS[self.format].defaults
        ]
        if unheeded:
            raise ValueError(f"{', '.join(unheeded)} has no effect on {self.format}; leave it out")
        container = self.format or VIDEO
        codec = self.codec or FORMATS[container].defaults.get("codec")
        if codec and codec not in FORMATS[container].codecs:
            raise ValueError(f"{container} holds no {codec}, but {' or '.join(FORMATS[container].codecs)}")
        if codec and (self.crf or 0) > CODECS[codec].max_crf:
            raise ValueError(f"crf of {codec} is at most {CODECS[codec].max_crf}, got {self.crf}")
        return self
