"""How long rows take, from rows that were made: seconds for each shape, and for shapes not seen, by their work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from jobs.output.manifest import read_batches
from jobs.paths import Output
from jobs.prompts.scan import SHAPE, Shape


@dataclass(slots=True, kw_only=True)
class Pace:
    """One model's rows so far."""

    rows: dict[Shape, int] = field(default_factory=lambda: defaultdict(int))
    spent: dict[Shape, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of an actor, audits included."""
    gpu: bool = False
    resources: float = 1.0
    """GPUs of an actor, or its CPUs where it has none."""

    def seconds(self, shapes: Mapping[Shape, int]) -> float | None:
        """Of one actor for so many rows of each shape; None where nothing was made before."""
        work = sum(_work(shape) * rows for shape, rows in self.rows.items())
        if not work:
            return None
        per_work = sum(self.spent.values()) / work
        return sum(count * self._per_row(shape, per_work) for shape, count in shapes.items())

    def _per_row(self, shape: Shape, per_work: float) -> float:
        return self.spent[shape] / self.rows[shape] if self.rows.get(shape) else _work(shape) * per_work


def paces(output: Output) -> dict[str, Pace]:
    """What each model took so far. Raises Refused for a manifest that can't be read."""
    found: dict[str, Pace] = defaultdict(Pace)
    columns = ["model", "error", *SHAPE, "seconds", "baseline_seconds", "num_gpus", "num_cpus"]
    for batch in read_batches(output, columns):
        done = pa.Table.from_batches([batch]).filter(pc.equal(batch["error"], pa.scalar("")))
        spent = pc.add(done["seconds"], pc.fill_null(done["baseline_seconds"], pa.scalar(0.0)))
        sums = done.append_column("spent", spent).group_by(["model", *SHAPE, "num_gpus", "num_cpus"])
        for row in sums.aggregate([("spent", "sum"), ("spent", "count")]).to_pylist():
            pace, shape = found[row["model"]], tuple(row[name] for name in SHAPE)
            pace.rows[shape] += row["spent_count"]
            pace.spent[shape] += row["spent_sum"] or 0.0
            pace.gpu = bool(row["num_gpus"])
            pace.resources = row["num_gpus"] or row["num_cpus"]
    return {name: pace for name, pace in found.items() if sum(pace.rows.values())}


def _work(shape: Shape) -> float:
    """Pixels times steps: attention grows faster, so larger shapes than any seen may take longer."""
    height, width, frames, steps = (value or 1 for value in shape)
    return float(height * width * frames * steps)
