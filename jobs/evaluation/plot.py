"""The frontier as a picture: compute saving against fidelity, a line for each method; SVG and PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from jobs.config.targets import LOWER_IS_BETTER, Target
from jobs.evaluation.frontier import Point
from jobs.evaluation.recommend import Recommendation
from jobs.evaluation.settings import FEWER_STEPS

LABELS = {"psnr": "PSNR to uncached, dB", "ssim": "SSIM", "ms_ssim": "MS-SSIM", "lpips": "LPIPS"}


def plot(points: Sequence[Point], target: Target, found: Recommendation, title: str) -> dict[str, bytes]:
    """The file contents by suffix. The fidelity shown is the first that the target names."""
    import matplotlib
    from matplotlib.figure import Figure

    measure, limit = next(iter(target.limits.items()))
    # Text stays text, and the same figures are the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "teacache"}):
        figure = Figure(figsize=(7.5, 4.8), layout="constrained")
        axes = figure.add_subplot()
        # What saves nothing is equal to its twin: its 100 dB would flatten all the others.
        shown = [point for point in points if measure in point.medians and point.saving > 1]
        for method in dict.fromkeys(point.setting.method for point in shown):
            _line(axes, [point for point in shown if point.setting.method == method], measure)
        axes.axhline(limit, color="0.5", linewidth=0.8, linestyle=":")
        for point in shown:
            if point.setting == found.setting:
                axes.plot(point.saving, point.values[measure], marker="*", markersize=18, color="none",
                          markeredgecolor="black", label=f"recommended: {point.setting.name}")  # fmt: skip
        axes.set(title=title, xlabel="compute saving (steps over steps computed)", ylabel=LABELS[measure])
        if measure in LOWER_IS_BETTER:
            axes.invert_yaxis()
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
        return {suffix: _saved(figure, suffix) for suffix in ("svg", "png")}


def _line(axes: object, points: Sequence[Point], measure: str) -> None:
    """Medians over the prompts, their intervals as bars."""
    ordered = sorted(points, key=lambda point: point.saving)
    medians = [point.medians[measure] for point in ordered]
    bounds = [(each.interval.low, each.interval.high) if each.interval else (each.value,) * 2 for each in medians]
    # A bootstrap interval holds its median but for ties.
    reach = [[max(0.0, each.value - low) for each, (low, _) in zip(medians, bounds, strict=True)],
             [max(0.0, high - each.value) for each, (_, high) in zip(medians, bounds, strict=True)]]  # fmt: skip
    uncached = bool(ordered) and ordered[0].setting.method == FEWER_STEPS
    if ordered:
        axes.errorbar(  # type: ignore[attr-defined]
            [point.saving for point in ordered], [each.value for each in medians], yerr=reach, marker="o", markersize=4,
            linewidth=1.4, elinewidth=0.7, capsize=2, label=ordered[0].setting.method,
            color="black" if uncached else None, linestyle="--" if uncached else "-",
        )  # fmt: skip


def _saved(figure: object, suffix: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if suffix == "svg" else {"Software": None}
    figure.savefig(buffer, format=suffix, dpi=110, metadata=metadata)  # type: ignore[attr-defined]
    return buffer.getvalue()
