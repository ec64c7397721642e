"""The Slurm script, on two nodes that are this machine: srun and scontrol are stand-ins, Ray is not."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.cluster.conftest import CLUSTER
from tests.jobs.nodes import free_port

SCRIPT = CLUSTER / "slurm.sh"

SRUN = """#!/usr/bin/env bash
# A step on one node: here, with the node's name written down.
while [[ $1 == --* ]]; do
  [[ $1 == --nodelist=* ]] && node=${1#*=}
  shift
done
echo "$node $*" >> "$STEPS"
[[ $1 == ray ]] && set -- "$@" --num-cpus=2 --dashboard-agent-listen-port="$(python -m tests.jobs.nodes)"
exec "$@"
"""

SCONTROL = """#!/usr/bin/env bash
[[ "$*" == "show hostnames node-[1-2]" ]] && printf 'node-1\\nnode-2\\n'
"""


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"
    checked = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a batch script on two nodes."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # A short path: sockets have a limit.
    with tempfile.TemporaryDirectory(prefix="s", ignore_cleanup_errors=True) as folder:
        yield {
            "RAY_TMPDIR": folder,
            **own,
            "PATH": f"{commands}:{Path(sys.executable).parent}:{own['PATH']}",
            "STEPS": str(tmp_path / "steps"),
            "SLURM_JOB_NODELIST": "node-[1-2]",
            "SLURM_CPUS_ON_NODE": "2",
            "RAY_PORT": str(free_port()),
            # Ray gives its workers way to everything else on the machine, such as other tests.
            "RAY_worker_niceness": "0",
        }


def test_a_job_runs_on_both_nodes_and_leaves_nothing_behind(slurm: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ["--output", str(output), "--generation.num_inference_steps", "2", "--audit.fraction", "0"]
    command = [str(SCRIPT), *options, "--actors.count", "2"]
    ended = subprocess.run(command, env=slurm, cwd=CLUSTER.parent, capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "; 2 nodes" in ended.stdout
    rows = pq.read_table(output / "manifest")
    assert len(set(rows["id"].to_pylist())) == rows.num_rows == 64
    steps = (tmp_path / "steps").read_text().splitlines()
    assert sorted(line.split()[:4] for line in steps) == [
        ["node-1", "python", "-c", "import"],
        ["node-1", "ray", "start", "--head"],
        ["node-2", "ray", "start", "--block"],
    ]
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if slurm["RAY_PORT"] in " ".join(each.info["cmdline"] or [])
    ]


def test_the_exit_code_is_the_jobs_own(slurm: dict[str, str], tmp_path: Path) -> None:
    command = [str(SCRIPT), "--prompts", str(tmp_path / "nothing"), "--output", str(tmp_path / "out")]
    ended = subprocess.run(command, env=slurm, cwd=CLUSTER.parent, capture_output=True, text=True, timeout=500)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "refused: prompts: can't list" in ended.stderr
