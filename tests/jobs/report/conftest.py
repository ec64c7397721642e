"""A real browser, and an output to report on: rows as a job leaves them, written without a model."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from jobs.config.media import Media
from jobs.media.encode import encode_batch
from jobs.output.manifest import write_batch
from jobs.paths import Output
from jobs.rows import Made, table
from tests.jobs.test_rows import made

PNG = Media(format="png")

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "' onmouseover='document.title=1' {{ 7 * 7 }} {% raw %}",
    "right\u202eto left\u202c \u2066isolated\u2069 \u200f",
    "zero \x00 bytes \x1b[31m and bells \x07",
    "w" * 5000,
    "</title></style></script><!-- &lt;b&gt; &amp;",
    "https://example.org/picture.png",
]


@pytest.fixture(scope="package")  # as long as it is open, no other test can run an event loop
def browser() -> Iterator[Browser]:
    """Debian's Chromium, installed if it isn't there; where it can't be, the tests fail rather than be left out."""
    if not shutil.which("chromium"):
        for command in ("apt-get update", "apt-get install -y --no-install-recommends chromium fonts-dejavu-core"):
            subprocess.run(command.split(), check=True, capture_output=True, timeout=600)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page opened from its file, and whatever it said or asked for meanwhile."""

    def __init__(self, browser: Browser, file: Path, **settings: Any) -> None:
        self.page: Page = browser.new_page(**settings)
        self.console: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_load_state("networkidle")
        self.elsewhere = [url for url in self.requests if not url.startswith(("data:", file.as_uri()))]


def picture(seed: int, height: int = 64, width: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A gradient with a disc, in colours of its own."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    ground, disc = random.uniform(40, 215, 3), random.uniform(40, 215, 3)
    centre = random.uniform(0.3, 0.7, 2)
    inside = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.06)[..., None]
    return np.asarray(np.where(inside, disc, ground * (0.8 + 0.4 * y[..., None])), dtype=np.uint8)


def rows_of(model: str = "flux", count: int = 24, faster: float = 1.0, noise: float = 4.0) -> list[Made]:
    """Rows with pictures, every third one audited; those have hostile prompts, and some hostile ids."""
    random = np.random.default_rng(count)
    rows = []
    for index in range(count):
        baseline = picture(index)
        pixels = np.clip(baseline + random.normal(0, noise * (0.3 + index / count), baseline.shape), 0, 255)
        audited: dict[str, Any] = {}
        if index % 3 == 0:
            audited = {"baseline_pixels": baseline.tobytes(), "baseline_seconds": 2.5 + random.normal(0, 0.05)}
        rows.append(
            made(
                id=HOSTILE[index] if index < 2 else f"{index:03}",
                prompt=f"a disc, number {index}" if index % 3 else HOSTILE[index // 3 % len(HOSTILE)],
                model=model,
                cache='{"method": "teacache", "rel_l1_thresh": 0.2, "coefficients": null}',
                height=64,
                width=64,
                num_inference_steps=28,
                batch=f"{model}-{index // 4}",
                seconds=(1.0 + index / 100) / faster,
                steps=28,
                computed=10,
                computed_mask="".join("01"[step in (0, 27) or (step + index) % 3 == 0] for step in range(28)),
                pixels=pixels.astype(np.uint8).tobytes(),
                **audited,
            )
        )
    return rows


def write_output(url: str, rows: list[Made], failures: int = 3, media: Media = PNG) -> Output:
    """An output as a job leaves it, without stats.json."""
    output = Output(url=url)
    failed = [
        made(id=f"bad-{index}", model=rows[0].model, error=f"ValueError: <b>asked</b> for height {index}")
        for index in range(failures)
    ]
    for start in range(0, len(rows), 4):
        write_batch(encode_batch(table(Made, rows[start : start + 4]), output, media), output)
    if failed:
        write_batch(encode_batch(table(Made, failed), output, PNG), output)
    return output


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    return write_output(str(tmp_path_factory.mktemp("report") / "night"), rows_of())
