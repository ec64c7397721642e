"""The figures for people: a row per setting, on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from jobs.accounting.audit import IDENTICAL
from jobs.config.targets import Target
from jobs.evaluation.frontier import Median, Point, frontier
from jobs.evaluation.recommend import Recommendation


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    heading: str
    form: str
    note: str


COLUMNS = {
    "psnr": Column(heading="PSNR dB", form=".1f", note="of the mean squared error"),
    "ssim": Column(heading="SSIM", form=".3f", note=""),
    "ms_ssim": Column(heading="MS-SSIM", form=".3f", note=""),
    "lpips": Column(heading="LPIPS", form=".3f", note="less is better"),
    "worst_psnr": Column(heading="worst frame dB", form=".1f", note="PSNR of a video's worst frame"),
    "flicker": Column(heading="flicker", form=".2f", note="how much the error changes from frame to frame, of 255"),
}

EXPLAINED = (
    "Compute: steps of the uncached run over those computed. Seconds: of the uncached pipeline call over those of the "
    "same call at this setting. Both count the whole denoiser; seconds also text encoding and decoding. Fidelity: "
    "median over the prompts against the uncached picture of the same seed, [95 % bootstrap interval], worst prompt. "
    "A star: nothing else is both cheaper and nearer."
)


def headings(points: Sequence[Point]) -> list[str]:
    return ["", "setting", "compute", "seconds", *(COLUMNS[name].heading for name in _measured(points))]


def rows(points: Sequence[Point], measure: str) -> Iterator[list[str]]:
    """The cells, in the order of the headings."""
    best, measured = frontier(points, measure), _measured(points)
    for point in points:
        cells = ["*" if point in best else "", _named(point), f"{point.saving:.2f}x", _speedup(point)]
        for name in measured:
            median = point.medians.get(name)
            cells.append(_told(name, median) if median else "-")
        yield cells


def terminal_table(points: Sequence[Point], title: str, measure: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings(points):
        table.add_column(heading, justify="left" if heading == "setting" else "right", overflow="fold")
    for cells in rows(points, measure):
        table.add_row(*cells)
    return table


def markdown_table(points: Sequence[Point], measure: str) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    names = headings(points)
    lines = [line(names), line(["---"] * len(names)), *(line(cells) for cells in rows(points, measure))]
    return "\n".join(lines)


def told(found: Recommendation, target: Target) -> Iterator[str]:
    """The recommendation in sentences."""
    measure = next(iter(target.limits))
    figure: Callable[[Point], str] = lambda point: f"{point.values[measure]:{COLUMNS[measure].form}}"  # noqa: E731
    for point in found.passed_over:
        yield f"not confirmed: {point.setting.name}: {measure} {figure(point)} on the other prompts"
    if found.setting is None:
        yield f"no setting keeps {target}: all steps, no cache"
        return
    chosen, confirmed = found.chosen, found.confirmed
    assert chosen is not None
    assert confirmed is not None
    yield (
        f"recommended for {target}: {found.setting.name}: {chosen.saving:.2f}x less compute; {measure} "
        f"{figure(chosen)} on the {chosen.rows} rows it was chosen on, {figure(confirmed)} on {confirmed.rows} others"
    )


def _named(point: Point) -> str:
    return f"{point.setting.name} ({point.failed} failed)" if point.failed else point.setting.name


def _speedup(point: Point) -> str:
    interval = point.speedup_interval
    return f"{point.speedup:.2f}x" + (f" [{interval.low:.2f}, {interval.high:.2f}]" if interval else "")


def _told(name: str, median: Median) -> str:
    form = COLUMNS[name].form
    if name in ("psnr", "worst_psnr") and median.worst >= IDENTICAL:
        return "identical"
    interval = f" [{median.interval.low:{form}}, {median.interval.high:{form}}]" if median.interval else ""
    return f"{median.value:{form}}{interval}, {median.worst:{form}}"


def _measured(points: Sequence[Point]) -> list[str]:
    return [name for name in COLUMNS if any(name in point.medians for point in points)]
