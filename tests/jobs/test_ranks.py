"""One pipeline in two processes on the CPU, against one process. Each pair has a leader that is no process of pytest's:
where one of a pair ends, so does the other.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from jobs.config import Actors, Generation, Model
from jobs.generate import Generate
from jobs.rows import Made, Sample, table
from tests.jobs.conftest import MODEL
from tests.jobs.test_generate import sample

GIVEN = (
    Model.model_validate({**MODEL, "cache": {"method": "adaptive", "tolerance": 1.0}, "context_parallel": 2}),
    Generation.model_validate({"max_sequence_length": 16}),
    Actors(num_gpus=0, num_cpus=1),
    0.0,
    "",
)
CALLS = [
    [sample("a", num_inference_steps=8, seed=1), sample("b", prompt="a blue square", num_inference_steps=8, seed=2)],
    [sample("c", height=65)],  # fails in both
    [sample("d", num_inference_steps=8, seed=3)],
]

LEAD = """
import sys
import pyarrow as pa
from jobs.ranks import Ranks
from jobs.rows import Sample, table
from tests.jobs.test_ranks import CALLS, GIVEN
if __name__ == "__main__":
    ranks = Ranks(*GIVEN)
    with pa.OSFile(sys.argv[1], "wb") as file:
        made = pa.concat_tables([ranks(table(Sample, call)) for call in CALLS])
        with pa.ipc.new_file(file, made.schema) as writer:
            writer.write_table(made)
    print("made", flush=True)
    sys.stdin.read()
"""


def pixels(row: Made) -> NDArray[np.int64]:
    assert row.pixels is not None
    return np.frombuffer(row.pixels, np.uint8).astype(np.int64)


def rows(made: pa.Table) -> dict[str, Made]:
    return {row["id"]: Made(**row) for row in made.to_pylist()}


@pytest.mark.parametrize("victim", ["leader", "follower"])
def test_two_processes_make_what_one_makes_and_end_together(tmp_path: Path, victim: str) -> None:
    lead, made = tmp_path / "lead.py", tmp_path / "made"
    lead.write_text(LEAD)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(lead), str(made)], **pipes) as leader:  # type: ignore[call-overload]
        assert leader.stdout.readline() == "made\n"
        (follower,) = [child for child in psutil.Process(leader.pid).children() if "spawn_main" in str(child.cmdline())]
        (leader if victim == "leader" else follower).kill()
        assert leader.wait(timeout=60) == (-9 if victim == "leader" else 1)
        assert psutil.wait_procs([follower], timeout=60)[1] == []
    with pa.memory_map(str(made)) as file:
        shared = rows(pa.ipc.open_file(file).read_all())
    generate = Generate(*GIVEN)
    alone = rows(pa.concat_tables([generate(table(Sample, call)) for call in CALLS]))
    assert {row.computed_mask for row in alone.values()} & {"1" * 8, None} == {None}
    for row_id, row in alone.items():
        assert (shared[row_id].computed_mask, shared[row_id].error) == (row.computed_mask, row.error)
        if not row.error:
            assert abs(pixels(shared[row_id]) - pixels(row)).max() <= 1
