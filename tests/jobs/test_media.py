import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from jobs.config.job import Job
from jobs.config.media import Media
from jobs.errors import Refused
from jobs.media.codecs import check, comment_of, encode, settled
from jobs.rows import Row, values
from tests.jobs.test_rows import made

y, x = np.mgrid[:32, :48]
PICTURE = np.stack([x * 5, y * 7, x + y], -1).astype(np.uint8)[None]


def media(**fields: object) -> Media:
    return settled(Media.model_validate(fields), video=False)


def test_png_keeps_every_pixel() -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode(PICTURE, media())))), PICTURE[0])


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_quality_is_heeded(name: str) -> None:
    files = [encode(PICTURE, media(format=name, quality=quality)) for quality in (10, 90, 100)]
    assert [Image.open(io.BytesIO(content)).format for content in files] == [name.upper()] * 3
    errors = [np.abs(np.asarray(Image.open(io.BytesIO(each))).astype(int) - PICTURE[0]).mean() for each in files]
    assert errors[0] > errors[1] > errors[2]
    assert files[1] == encode(PICTURE, media(format=name))


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_prompt_and_settings_are_embedded_when_asked_for(name: str) -> None:
    row = Row(**values(made(prompt="a \u00e9 \x00 <b>", cache='{"method": "none"}'), Row))
    picture = Image.open(io.BytesIO(encode(PICTURE, media(format=name), comment_of(row))))
    if name == "png":
        comment = picture.info["Comment"]
    else:
        comment = picture.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        assert comment[:8] == b"ASCII\x00\x00\x00"
        comment = comment[8:]
    told = json.loads(comment)
    assert (told["prompt"], told["seed"], told["cache"]) == (row.prompt, row.seed, {"method": "none"})
    plain = Image.open(io.BytesIO(encode(PICTURE, media(format=name))))
    assert "Comment" not in plain.info
    assert not plain.getexif()


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_a_prompt_too_long_to_be_embedded_costs_no_picture(name: str) -> None:
    prompt = "\U0001f98a" * 80_000  # of twelve characters each, once escaped
    row = Row(**values(made(prompt=prompt, negative_prompt=prompt, cache='{"method": "none"}'), Row))
    picture = Image.open(io.BytesIO(encode(PICTURE, media(format=name), comment_of(row))))
    if name == "png":
        told = json.loads(picture.info["Comment"])
        assert told["prompt"] == told["negative_prompt"] == prompt
        return
    told = json.loads(picture.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment][8:])
    assert told["prompt"] == told["negative_prompt"] == prompt[:2000] + "..."
    assert told["seed"] == row.seed


def test_what_is_left_open_is_settled() -> None:
    assert settled(Media(), video=False) == Media(format="png")
    assert settled(Media(), video=True) == Media(format="mp4", codec="h264", crf=18, fps=24)
    assert settled(Media(format="webm", codec="av1"), video=True) == Media(format="webm", codec="av1", crf=24, fps=24)
    assert settled(Media(crf=0, embed_metadata=True), video=True).crf == 0
    # Models of both kinds in one job: what is for videos does not reach pictures.
    assert settled(Media(crf=30, fps=8), video=False) == Media(format="png")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"format": "png", "quality": 90}, "quality has no effect on png; leave it out"),
        ({"format": "jpeg", "fps": 8}, "fps has no effect on jpeg; leave it out"),
        ({"format": "mp4", "codec": "vp9"}, "mp4 holds no vp9, but h264 or av1"),
        ({"codec": "vp9"}, "mp4 holds no vp9, but h264 or av1"),
        ({"format": "webm", "codec": "h264"}, "webm holds no h264, but vp9 or av1"),
        ({"crf": 52}, "crf of h264 is at most 51, got 52"),
        ({"quality": 90}, "quality goes with media.format jpeg or webp"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Media.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "videos", "sentence"),
    [
        ({"format": "png"}, [False, True], "media.format: model b makes videos, not png; use one of mp4, webm"),
        ({"format": "mp4"}, [True, False], "model b makes pictures, not mp4; use one of png, jpeg, webp"),
        ({"fps": 8}, [False, False], "media.fps: no model of this job makes videos; leave it out"),
        ({"fps": 8}, [False, True], None),
        ({"format": "webp"}, [False, False], None),
    ],
)
def test_a_format_goes_with_the_models(fields: dict[str, Any], videos: list[bool], sentence: str | None) -> None:
    models = [{"pipeline": "x/a"}, {"pipeline": "x/b"}]
    job = Job.model_validate({"name": "x", "prompts": "p", "output": "o", "models": models, "media": fields})
    made = dict(zip("ab", videos, strict=True))
    if sentence is None:
        check(job, made)
        return
    with pytest.raises(Refused, match=sentence):
        check(job, made)
