"""What a killed run had made: written by the next one, on a Ray of two CPUs, and not made again."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from jobs import preflight, salvage, storage
from jobs.actors.spool import Spool, drop
from jobs.config.job import Actors, Job
from jobs.output import lease
from jobs.output.lease import Note
from jobs.prompts.plan import fill
from jobs.prompts.reading import read_shard
from tests.jobs.conftest import WriteShard
from tests.jobs.fakes import FakeGenerate
from tests.jobs.test_run import manifest, run

BuildJob = Callable[..., Job]

# Ray 2.60 warns of its own defaults when its context is made.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data")


@pytest.fixture(autouse=True)
def prompts(shard: WriteShard) -> None:
    shard("a.parquet", id=[*"abcdef"], prompt=[*"abcdef"])


def kill(job: Job, *batches: slice) -> Spool:
    """As after a kill: these rows are made and lie on the node, and the driver's note lies in the output."""
    note = Note(owner="killed", host="here", pid=2**22 + 1, namespace=lease._namespace(), spool=uuid4().hex)
    storage.write(f"{job.output}/lease.json", json.dumps(asdict(note)).encode())
    ready = preflight.checked(job)
    assert job.model
    spool = salvage.spool(job, job.model, note.spool)
    accepted = ready.planners[job.model.name].accepted
    for rows in (rows for shard in ready.scan.shards for rows in read_shard(job.prompts, shard)):
        samples = fill(rows, job.generation, accepted, job.seed)
        for batch in batches:
            assert spool.keep(FakeGenerate(job.model, None, Actors())(samples[batch]))
    return spool


def rerun(job: Job, log: Path) -> tuple[str, str]:
    """What was made again, and what was said."""
    log.write_text("")
    _, said = run(job)
    return "".join(sorted(log.read_text().split())), said


def left(spool: Spool) -> list[pa.Table]:
    return [made for _, made in spool.left()]


def test_what_was_made_is_written_and_not_made_again(job: BuildJob, log: Path, tmp_path: Path) -> None:
    spool = kill(job(), slice(0, 2), slice(3, 5))
    again, said = rerun(job(), log)
    assert again == "cf"
    assert "flux: 4 rows that were made before a kill are written now" in said
    assert "flux: 6 of 6 rows, 0 failed" in said
    assert sorted(row["id"] for row in manifest(tmp_path / "out" / "manifest")) == [*"abcdef"]
    assert len(list(tmp_path.glob("out/media/**/*.png"))) == 6
    assert left(spool) == []


def test_where_all_was_made_no_actor_starts(job: BuildJob, log: Path, tmp_path: Path) -> None:
    kill(job(), slice(0, 6))
    again, _ = rerun(job(), log)
    assert again == ""
    assert len(manifest(tmp_path / "out" / "manifest")) == 6


def test_what_is_written_already_or_was_edited_since_is_swept(
    job: BuildJob, log: Path, shard: WriteShard, tmp_path: Path
) -> None:
    run(job())
    spool = kill(job(), slice(0, 3))
    shard("a.parquet", id=[*"abcdef", *"gh"], prompt=[*"abcdef", *"gh"])
    kept = kill(job(), slice(6, 8))
    assert kept != spool
    shard("a.parquet", id=[*"abcdef", *"gh"], prompt=[*"abcdef", "g", "H"])
    again, _ = rerun(job(), log)
    assert again == "H"
    assert left(kept) == []
    ids = [row["id"] for row in manifest(tmp_path / "out" / "manifest")]
    assert sorted(ids) == [*"abcdefgh"]


def test_of_other_settings_or_another_output_nothing_is_taken(job: BuildJob, log: Path, tmp_path: Path) -> None:
    kill(job(), slice(0, 6))
    again, _ = rerun(job(seed=1), log)
    assert again == "abcdef"
    kill(job(output=str(tmp_path / "new")), slice(0, 6))
    (tmp_path / "new" / "lease.json").unlink()
    again, _ = rerun(job(output=str(tmp_path / "new")), log)
    assert again == "abcdef"


def test_failed_rows_are_made_again(job: BuildJob, log: Path, tmp_path: Path) -> None:
    spool = kill(job(), slice(0, 3))
    ((path, made),) = spool.left()
    errors = ["", "ValueError: no picture", ""]
    drop(path)
    assert spool.keep(made.set_column(made.schema.get_field_index("error"), "error", [errors]))
    again, _ = rerun(job(), log)
    assert again == "bdef"
    assert len(manifest(tmp_path / "out" / "manifest")) == 6
