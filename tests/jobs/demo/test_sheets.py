from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from jobs.demo import sheets

COLORS = np.array([(250, 0, 0), (0, 250, 0), (0, 0, 250)], np.uint8)


def test_pictures_stand_in_a_grid_with_room_for_captions() -> None:
    pictures = [np.full((4, 6, 3), color, np.uint8) for color in COLORS]
    sheet = np.asarray(sheets.contact_sheet(pictures, ["", "", ""], columns=2, zoom=10))
    # Two columns of 60 pixels and three gaps of 8; two rows of 40 pixels, 34 of text and three gaps.
    assert sheet.shape == (172, 144, 3)
    assert tuple(sheet[28, 38]) == (250, 0, 0)
    assert tuple(sheet[28, 106]) == (0, 250, 0)
    assert tuple(sheet[110, 38]) == (0, 0, 250)


def test_a_film_strip_has_the_first_and_the_last_frame() -> None:
    video = np.stack([np.full((4, 4, 3), number, np.uint8) for number in range(9)])
    strip = sheets.film_strip(video, frames=3)
    assert strip.shape == (4, 15, 3)
    assert [int(strip[0, column, 0]) for column in (0, 5, 10)] == [0, 4, 8]


def test_videos_are_kept_as_a_picture_and_as_one_that_moves(tmp_path: Path) -> None:
    videos = [np.stack([np.full((4, 4, 3), color, np.uint8) for color in COLORS])] * 2
    sheets.save(tmp_path, videos, ["one", "two"])
    with Image.open(tmp_path / "samples.png") as still:
        assert still.width > 3 * 4 * 3
    with Image.open(tmp_path / "samples.gif") as moving:
        assert moving.n_frames == 3  # type: ignore[attr-defined]
        for frame, color in enumerate(COLORS):
            moving.seek(frame)
            assert moving.convert("RGB").getpixel((12, 12)) == tuple(color)
