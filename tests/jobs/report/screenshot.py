"""`python -m tests.jobs.report.screenshot REPORT.HTML PICTURE.PNG`: a report as a desktop shows it, light and dark."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1120, 1216


def main(report: str, picture: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        halves = []
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if scheme == "dark" else "light"
            )
            page.goto(Path(report).resolve().as_uri())
            halves.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    light, dark = halves
    middle = light.width // 2
    light.paste(dark.crop((middle, 0, light.width, light.height)), (middle, 0))
    light.save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
