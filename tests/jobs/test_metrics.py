"""What a real run exported, against the manifest that it left."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.metrics import watch
from jobs.rows import Written
from jobs.runs import Tags
from tests.jobs.test_rows import written

Samples = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture(scope="module")
def samples(exported: Path) -> Samples:
    """Value and labels of every sample of ours, by name."""
    found: Samples = defaultdict(list)
    for family in text_string_to_metric_families((exported / "metrics.txt").read_text()):
        for sample in family.samples:
            if sample.name.startswith("ray_teacache_"):
                found[sample.name].append((sample.labels, sample.value))
    return found


@pytest.fixture(scope="module")
def done(exported: Path) -> list[dict[str, Any]]:
    return pq.read_table(exported / "out" / "manifest").to_pylist()


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum over all processes of the job's run."""
    wanted = {"model": "flux", **labels}.items()
    found = [value for each, value in samples[name] if wanted <= each.items() and each["run"].startswith("exported-2")]
    assert found, f"no {name} with {labels}"
    return sum(found)


def test_rows_and_failures_are_those_of_the_manifest(samples: Samples, done: list[dict[str, Any]]) -> None:
    assert total(samples, "ray_teacache_planned_rows_total") == 7
    assert total(samples, "ray_teacache_rows_total") == len(done) + 1 == 7
    assert total(samples, "ray_teacache_failures_total", error="ValueError") == 1
    assert len(samples["ray_teacache_failures_total"]) == 1


def test_steps_are_counted_computed_and_skipped(samples: Samples, done: list[dict[str, Any]]) -> None:
    computed, steps = (sum(row[name] for row in done) for name in ("computed", "steps"))
    assert total(samples, "ray_teacache_steps_total", kind="computed") == computed == 12
    assert total(samples, "ray_teacache_steps_total", kind="skipped") == steps - computed == 6


def test_the_speedup_is_that_of_the_audited_rows(samples: Samples, done: list[dict[str, Any]]) -> None:
    for cache, column in (("on", "seconds"), ("off", "baseline_seconds")):
        expected = sum(row[column] for row in done)
        assert total(samples, "ray_teacache_audit_seconds_total", cache=cache) == pytest.approx(expected)


@pytest.mark.parametrize(("stage", "count"), [("load", 1), ("generate", 2), ("audit", 2), ("encode", 3), ("write", 3)])
def test_every_stage_is_timed(samples: Samples, stage: str, count: int) -> None:
    # 7 rows in batches of 3, of which the last row fails before there is a picture: 2 calls, 3 batches.
    assert total(samples, "ray_teacache_stage_seconds_count", stage=stage) == count
    assert total(samples, "ray_teacache_stage_seconds_bucket", stage=stage, le="+Inf") == count


def test_a_restarted_actor_is_counted_once(samples: Samples) -> None:
    restarts = [(labels["run"], value) for labels, value in samples["ray_teacache_actor_restarts_total"]]
    assert restarts == [("exported-again", 1)]


def test_batches_pass_through_unchanged() -> None:
    batches: list[Written] = [written(done=2), written(failed=1, errors=("KeyError",)), written()]
    assert list(watch(batches, Tags(run="r", model="m"), planned=3)) == batches
