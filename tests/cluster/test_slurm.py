"""The Slurm script, on two nodes that are this machine: srun, scontrol and the model are stand-ins, Ray is not."""

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
from tests.jobs.fakes import COMMAND
from tests.jobs.object_store import free_port

SCRIPT = CLUSTER / "slurm.sh"

SRUN = """#!/usr/bin/env bash
# A step on one node: here, with the node's name written down.
while [[ $1 == --* ]]; do
  [[ $1 == --nodelist=* ]] && node=${1#*=}
  shift
done
echo "$node $*" >> "$STEPS"
[[ $1 == ray ]] && set -- "$@" --num-cpus=2 --dashboard-agent-listen-port="$(python -m tests.jobs.object_store)"
exec "$@"
"""

# Nodes that are up at once, a job that says so by its exit code.
SLEEPS = "sleep 301.7"
RAY = f"""#!/bin/sh
exec {SLEEPS}
"""
PYTHON = """#!/bin/sh
case "$1 $2" in
  "-c import"*) echo 127.0.0.1 ;;
  "- "*) echo 2 ;;
  "-m jobs") exit 3 ;;
esac
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
    """The environment of a batch script on two nodes, where `python -m jobs` makes noise at once."""
    put(tmp_path / "bin", srun=SRUN, scontrol=SCONTROL, python=COMMAND)
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # A short path: sockets have a limit.
    with tempfile.TemporaryDirectory(prefix="s", ignore_cleanup_errors=True) as folder:
        yield {
            "RAY_TMPDIR": folder,
            **own,
            "PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{own['PATH']}",
            "STEPS": str(tmp_path / "steps"),
            "SLURM_JOB_NODELIST": "node-[1-2]",
            "SLURM_CPUS_ON_NODE": "2",
            "SLURM_JOB_ID": "7",
            "FAKES_ALL": "1",
            "RAY_PORT": str(free_port()),
            # Ray gives its workers way to everything else on the machine, such as other tests.
            "RAY_worker_niceness": "0",
        }


def put(folder: Path, **commands: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def left_behind(words: str) -> bool:
    return any(words in " ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"]))


@pytest.mark.slow
def test_a_job_runs_on_both_nodes_and_leaves_nothing_behind(slurm: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [str(SCRIPT), "--output", str(output), "--audit.fraction", "0", "--actors.count", "2"]
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
    assert not left_behind(slurm["RAY_PORT"])


def test_the_exit_code_is_the_jobs_own(slurm: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "bin", ray=RAY, python=PYTHON)
    ended = subprocess.run([str(SCRIPT)], env=slurm, cwd=CLUSTER.parent, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "head: node-1 (127.0.0.1:" in ended.stdout
    assert not left_behind(SLEEPS)
