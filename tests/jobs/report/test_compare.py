from pathlib import Path

import pytest
from playwright.sync_api import Browser
from typer.testing import CliRunner

from jobs.cli import app
from jobs.paths import Output
from tests.jobs.report.conftest import Visit, rows_of, write_output


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """A later run of the same rows, twice as fast and noisier."""
    url = str(tmp_path_factory.mktemp("other") / "later")
    write_output(url, rows_of(faster=2.0, noise=16.0), failures=0)
    return write_output(url, rows_of(model="slow", count=8), failures=0)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    return result.exit_code, result.stdout + result.stderr


def test_two_outputs_are_compared_by_figures_and_pictures(
    browser: Browser, output: Output, other: Output, tmp_path: Path
) -> None:
    code, text = run(output.url, other.url, "--to", tmp_path / "c.html")
    assert (code, text) == (0, f"file://{tmp_path}/c.html\n")
    visit = Visit(browser, tmp_path / "c.html")
    assert (visit.console, visit.errors, visit.elsewhere) == ([], [], [])
    lines = {line.split("\t")[0]: line for line in visit.page.inner_text("table").splitlines()}
    assert "higher, beyond the intervals" in lines["speed-up"]
    assert "lower, beyond the intervals" in lines["PSNR, median"]
    assert "\t3\t0\t-3 (-100.0%)" in lines["rows failed"]
    assert visit.page.locator(".slider").count() == 8
    assert "same seed" in visit.page.inner_text(".tags >> nth=0")


def test_two_models_of_one_output_can_be_compared(other: Output, tmp_path: Path) -> None:
    code, _ = run(f"{other.url}#flux", f"{other.url}#slow", "--to", tmp_path / "c.html")
    assert code == 0
    assert "flux and slow" in (tmp_path / "c.html").read_text()


def test_what_cannot_be_compared_is_refused(output: Output, other: Output, tmp_path: Path) -> None:
    code, text = run(output.url, f"{other.url}#fast", "--to", tmp_path / "c.html")
    assert (code, text) == (2, f"refused: {other.url}#fast: no model fast there; it has flux, slow\n")
    assert run(output.url, tmp_path, "--to", tmp_path / "c.html")[0] == 2
    assert not (tmp_path / "c.html").exists()
