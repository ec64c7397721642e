import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from jobs.config.media import Media
from jobs.media.codecs import Frames, encode
from jobs.paths import Output
from jobs.report.pictures import LONGEST_SIDE, LOSSLESS_BYTES, Album, shrunk

PNG = Media(format="png")
NOISE = np.random.default_rng(0).integers(0, 256, (600, 900, 3), dtype=np.uint8)


def to_png(picture: Frames) -> bytes:
    return encode(picture[None], PNG)


def row(uri: str, kind: str = "image/png") -> dict[str, object]:
    return {"uri": uri, "media_type": kind, "width": 900, "height": 600}


def test_a_small_picture_is_embedded_without_loss(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(to_png(NOISE[:64, :64]))
    album = Album(Output(url=str(tmp_path)))
    embedded = album.embed(row(f"{tmp_path}/a.png"))
    assert embedded is not None
    assert embedded.uri.startswith("data:image/webp;base64,")
    content = base64.b64decode(embedded.uri.partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), NOISE[:64, :64])


def test_a_large_picture_is_scaled_down_and_bounded() -> None:
    content = shrunk(to_png(NOISE))
    assert Image.open(io.BytesIO(content)).size == (LONGEST_SIDE, LONGEST_SIDE * 600 // 900)
    assert len(content) < 1.5 * LOSSLESS_BYTES


def test_a_page_takes_no_more_than_its_room(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(to_png(NOISE[:64, :64]))
    album = Album(Output(url=str(tmp_path)), room=30_000)
    found = [album.embed(row(f"{tmp_path}/a.png")) for _ in range(4)]
    assert [each is not None for each in found] == [True, True, False, False]
    assert album.left_out == 2
    assert album.room >= 0


def test_a_file_that_is_gone_or_no_picture_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_text("no picture")
    album = Album(Output(url=str(tmp_path)))
    assert album.embed(row(f"{tmp_path}/a.png")) is None
    assert album.embed(row(f"{tmp_path}/b.png")) is None
    assert album.left_out == 2


def test_an_output_that_was_moved_still_has_its_pictures(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    place = Path(output.media("flux", "a", ".png"))
    place.parent.mkdir(parents=True)
    place.write_bytes(to_png(NOISE[:8, :8]))
    noted = "s3://elsewhere/night/" + str(place.relative_to(tmp_path))
    assert output.here(noted) == str(place)
    assert output.here("s3://elsewhere/other.png") == "s3://elsewhere/other.png"
    assert Album(output).embed(row(noted)) is not None


def test_videos_are_embedded_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    embedded = Album(Output(url=str(tmp_path))).embed(row(f"{tmp_path}/a.mp4", "video/mp4"))
    assert embedded is not None
    assert embedded.video
    assert embedded.uri == "data:video/mp4;base64," + base64.b64encode(b"video").decode()
