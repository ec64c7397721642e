"""The written file in a real browser: what a person sees, and what it must never do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from jobs.config.media import Media
from jobs.media.codecs import settled
from jobs.paths import Output
from jobs.report.page import duration, money, number, percent, size
from jobs.report.write import reported
from tests.jobs.report.conftest import HOSTILE, Visit, picture, rows_of, write_output

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def file(output: Output) -> Path:
    return Path(reported(output.url).removeprefix("file://"))


@pytest.fixture(scope="module")
def visit(browser: Browser, file: Path) -> Visit:
    return Visit(browser, file)


def test_nothing_is_asked_for_and_nothing_goes_wrong(visit: Visit) -> None:
    assert visit.console == []
    assert visit.errors == []
    assert visit.elsewhere == []


def test_the_figures_are_there_to_read(visit: Visit) -> None:
    text = visit.page.inner_text("main")
    for words in ("night", "24", "Rows failed\n3", "Speed-up, measured", "on 8 rows", "Steps skipped", "step 28"):
        assert words in text, words
    assert "<b>asked</b> for height 0" in text
    assert visit.page.locator(".strip i").count() == 28
    assert visit.page.locator("svg rect").count() > 3
    assert visit.page.locator(".pairs figure").count() == 8


def test_hostile_prompts_are_text_and_nothing_else(visit: Visit) -> None:
    assert visit.page.title() == "night"
    text = visit.page.inner_text("main")
    for prompt in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[6]):
        assert prompt in text
    assert "right\\u202eto left\\u202c \\u2066isolated\\u2069 \\u200f" in text
    assert "zero \\u0000 bytes \\u001b[31m" in text
    assert f"{'w' * 400}w ... (5,000 characters)" in text
    assert not any(mark in visit.page.content() for mark in "\u202e\u2066\u200f\x1b\x07")
    assert visit.page.locator("script").count() == 1
    assert visit.page.locator("img[onerror], [onmouseover]").count() == 0
    assert "49" not in visit.page.locator("figcaption", has_text="onmouseover").first.inner_text()


def test_the_page_would_not_run_a_script_that_got_in_all_the_same(browser: Browser, file: Path, tmp_path: Path) -> None:
    """The second line of defence: the page's own policy."""
    broken = tmp_path / "broken.html"
    broken.write_text(file.read_text().replace("</main>", "<script>document.title = 'owned'</script></main>"))
    visit = Visit(browser, broken)
    assert visit.page.title() == "night"
    assert any("Content Security Policy" in line for line in visit.console)


def test_the_slider_moves_with_mouse_and_keys(visit: Visit) -> None:
    slider = visit.page.locator(".slider").first
    slider.scroll_into_view_if_needed()
    cut = "getComputedStyle(document.querySelector('.slider')).getPropertyValue('--cut').trim()"
    clip = "getComputedStyle(document.querySelector('.slider img + img')).clipPath"
    assert visit.page.evaluate(cut) == "50%"
    box = slider.bounding_box()
    assert box is not None
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20, steps=5)
    visit.page.mouse.up()
    dragged = float(visit.page.evaluate(cut).rstrip("%"))
    assert 70 < dragged < 90
    assert visit.page.evaluate(clip).startswith(f"inset(0px 0px 0px {dragged:.2f}"[:22])
    slider.locator("input").press("Home")
    assert visit.page.evaluate(cut) == "0%"


def test_both_pictures_of_a_pair_are_drawn(visit: Visit) -> None:
    sizes = "[...document.querySelectorAll('.slider img')].map(img => img.complete && img.naturalWidth)"
    assert visit.page.evaluate(sizes) == [64] * 16


def test_videos_play_side_by_side(browser: Browser, tmp_path: Path) -> None:
    frames = np.stack([picture(seed) for seed in range(4)])
    videos: dict[str, Any] = {"num_frames": 4, "pixels": frames.tobytes(), "baseline_pixels": frames.tobytes()}
    rows = [replace(row, **videos) for row in rows_of(count=4)[::3]]
    output = write_output(str(tmp_path / "videos"), rows, failures=0, media=settled(Media(fps=2), video=True))
    visit = Visit(browser, Path(reported(output.url).removeprefix("file://")))
    played = "(async () => {const v = [...document.querySelectorAll('video')]; await v[0].play();"
    played += " await new Promise(done => setTimeout(done, 600));"
    played += " return v.slice(0, 2).map(each => !each.paused && each.videoWidth == 64 && each.currentTime > 0);})()"
    assert visit.page.evaluate(played) == [True, True]
    assert (visit.console, visit.errors, visit.elsewhere) == ([], [], [])
    assert visit.page.locator("video").count() == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_its_theme(browser: Browser, file: Path, scheme: str) -> None:
    visit = Visit(browser, file, viewport=PHONE, color_scheme=scheme)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(247, 247, 245)", "dark": "rgb(18, 21, 24)"}[scheme]
    visit.page.close()


def test_figures_are_written_as_people_read_them() -> None:
    assert [number(value) for value in (None, 0.12345, 12.3, 12345.6)] == ["\u2013", "0.123", "12.3", "12,346"]
    assert [percent(value) for value in (None, 0.0, 0.00123, 0.5)] == ["\u2013", "0%", "0.12%", "50%"]
    assert [size(value) for value in (12, 1234, 5e12)] == ["12 B", "1.23 kB", "5 TB"]
    assert [duration(hours) for hours in (None, 2000.0, 0.5, 0.001)] == ["\u2013", "2,000 h", "30 min", "3.6 s"]
    assert [money(value) for value in (None, 0.0, 12345.678, 0.00068)] == ["\u2013", "0.00", "12,345.68", "0.00068"]
