"""Pixels to the bytes of one picture or video: the same pixels and settings always give the same bytes."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from jobs.config.job import Job
from jobs.config.media import Media
from jobs.config.model import Model
from jobs.errors import Refused
from jobs.media.formats import CODECS, FORMATS, PICTURE, VIDEO
from jobs.rows import Row, Sample, values

Frames = NDArray[np.uint8]
"""frames x height x width x 3 bytes of RGB; a picture is one frame."""

_ASCII = b"ASCII\x00\x00\x00"
"""How an EXIF UserComment names its encoding."""

_LONG = 2000
"""Characters of a prompt in EXIF; with more, escaped, it might not fit into the 64 KiB that JPEG has for all of it."""


def settled(media: Media, *, video: bool) -> Media:
    """The settings for one model, with nothing left open that its files heed."""
    name = media.format or (VIDEO if video else PICTURE)
    fields: dict[str, Any] = {"format": name, "layout": media.layout, "embed_metadata": media.embed_metadata}
    for setting, default in FORMATS[name].defaults.items():
        given = getattr(media, setting)
        fields[setting] = default if given is None else given
    if "codec" in fields and fields["crf"] is None:
        fields["crf"] = CODECS[fields["codec"]].crf
    return Media(**fields)


def check(job: Job, videos: dict[str, bool]) -> None:
    """Refuse a format, or settings, that don't go with what the models make. Raises Refused."""
    if job.media.format is None:
        unheeded = [name for name in ("codec", "crf", "fps") if getattr(job.media, name) is not None]
        if unheeded and not any(videos.values()):
            raise Refused(f"media.{unheeded[0]}: no model of this job makes videos; leave it out")
        return
    for model in job.each_model:
        _check_format(job.media.format, model, videos[model.name])


def _check_format(format: str, model: Model, video: bool) -> None:
    if FORMATS[format].is_video == video:
        return
    made, fitting = ("videos" if video else "pictures"), [n for n, f in FORMATS.items() if f.is_video == video]
    raise Refused(f"media.format: model {model.name} makes {made}, not {format}; use one of {', '.join(fitting)}")


def encode(frames: Frames, media: Media, comment: str | None = None) -> bytes:
    """The file. `comment`, if given, is embedded: as PNG text chunk, EXIF UserComment or tag of the video."""
    assert media.format is not None
    if not FORMATS[media.format].is_video:
        return _to_picture(frames[0], media, comment)
    # Imported here: a job of pictures does without FFmpeg.
    from jobs.media.video import to_video

    return to_video(frames, media, comment)


def told(row: Row) -> dict[str, Any]:
    """What is told of a row beside its media: everything that the pixels follow from, and nothing of the run."""
    settings = {**values(row, Sample), "model": row.model, "cache": json.loads(row.cache)}
    return {name: value for name, value in settings.items() if value is not None and name != "fingerprint"}


def comment_of(row: Row) -> str:
    """What an embedded comment tells, as JSON in ASCII."""
    return json.dumps(told(row))


def _to_picture(picture: NDArray[np.uint8], media: Media, comment: str | None) -> bytes:
    assert media.format is not None
    options: dict[str, Any] = {} if media.quality is None else {"quality": media.quality}
    if comment is not None:
        options |= {"pnginfo": _text(comment)} if media.format == "png" else {"exif": _exif(comment)}
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, media.format, **options)
    return buffer.getvalue()


def _text(comment: str) -> PngInfo:
    chunks = PngInfo()
    chunks.add_text("Comment", comment)
    return chunks


def _exif(comment: str) -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _ASCII + _shortened(comment).encode("ascii")
    return exif


def _shortened(comment: str) -> str:
    """With long prompts cut, as their dots tell; in full they stand in the manifest."""
    if len(comment) <= _LONG:
        return comment
    cut = {name: f"{value[:_LONG]}..." if isinstance(value, str) and len(value) > _LONG else value
           for name, value in json.loads(comment).items()}  # fmt: skip
    return json.dumps(cut)
