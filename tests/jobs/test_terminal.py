import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from jobs.config.media import Media
from jobs.media.codecs import encode, settled
from jobs.terminal import half_blocks, picture_escape, still

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 40, 64, 3), dtype=np.uint8)
PICTURE = encode(PIXELS[:1], Media(format="png"))


def test_kitty_gets_the_whole_png_in_chunks() -> None:
    escape = picture_escape(PICTURE, {"KITTY_WINDOW_ID": "1"})
    assert escape is not None
    chunks = re.findall(r"\x1b_G(?:a=T,f=100,)?m=([01]);([^\x1b]*)\x1b\\", escape)
    assert [more for more, _ in chunks] == ["1"] * (len(chunks) - 1) + ["0"]
    assert all(len(chunk) <= 4096 for _, chunk in chunks)
    content = base64.b64decode("".join(chunk for _, chunk in chunks))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), PIXELS[0])


def test_iterm_gets_the_file_and_others_get_blocks() -> None:
    escape = picture_escape(PICTURE, {"TERM_PROGRAM": "WezTerm"})
    assert escape is not None
    assert base64.b64decode(escape.partition(":")[2].rstrip("\x07\n")) == PICTURE
    assert picture_escape(PICTURE, {"TERM": "xterm-256color"}) is None


@pytest.mark.parametrize(("width", "columns"), [(200, 60), (20, 20)])
def test_half_blocks_fit_the_terminal_and_have_the_colours(width: int, columns: int) -> None:
    flat = np.zeros((1, 64, 64, 3), np.uint8)
    flat[:, :32] = (255, 0, 0)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=200)
    with console.capture() as captured:
        console.print(half_blocks(encode(flat, Media(format="png")), width))
    lines = captured.get().splitlines()
    assert lines[0].count("\u2580") == columns
    assert "\x1b[38;2;255;0;0;48;2;255;0;0m" in lines[0]
    assert "\x1b[38;2;0;0;0;48;2;0;0;0m" in lines[-2]


def test_a_video_stands_still_at_its_first_frame() -> None:
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    frames[0] = 200
    content = still(encode(frames, settled(Media(), video=True)), "video/mp4")
    assert np.asarray(Image.open(io.BytesIO(content))).mean() == pytest.approx(200, abs=6)
    assert still(PICTURE, "image/png") == PICTURE
