"""The comparison as a picture, SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.peers.frontier import frontier
from tests.benchmarks.peers.table import Rows, lines


def plot(comparisons: Mapping[str, Rows], file: Path) -> None:
    """One panel per comparison; `file` without its ending."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    columns = min(2, len(comparisons))
    figure, axes = plt.subplots(-(-len(comparisons) // columns), columns, squeeze=False,
                                figsize=(7 * columns, 4.5 * -(-len(comparisons) // columns)))  # fmt: skip
    names = {method for rows in comparisons.values() for ours in (True, False) for method in lines(rows, ours=ours)}
    colours = {method: f"C{number % 10}" for number, method in enumerate(sorted(names))}
    for axis, (title, rows) in zip(axes.flat, comparisons.items(), strict=False):
        for ours in (False, True):
            for method, points in lines(rows, ours=ours).items():
                line = frontier(points)
                axis.plot([point.compute for point in line], [point.psnr for point in line], label=method,
                          color=colours[method], linewidth=2.5 if ours else 1.0, linestyle="-" if ours else "--",
                          marker="o" if ours else ".", markersize=4)  # fmt: skip
        axis.set(title=title, xlabel="compute saving (uncached operations over the method's)",
                 ylabel="PSNR against the uncached run, dB", xlim=(1, 25), ylim=(20, 90))  # fmt: skip
        axis.axhline(35, color="grey", linewidth=0.5)
        axis.axhline(40, color="grey", linewidth=0.5)
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(file.with_suffix(".png"), dpi=80, metadata={"Software": None})
