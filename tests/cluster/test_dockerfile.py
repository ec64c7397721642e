import subprocess
import sysconfig
from pathlib import Path

from tests.cluster.conftest import CLUSTER

DOCKERFILE = CLUSTER / "Dockerfile"
LINES = DOCKERFILE.read_text().splitlines()


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    linted = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def test_the_image_is_built_in_stages_and_does_not_run_as_root() -> None:
    assert sum(line.startswith("FROM ") for line in LINES) == 2
    users = [line for line in LINES if line.startswith("USER ")]
    assert users == ["USER 1000"]
    assert LINES.index("USER 1000") > max(index for index, line in enumerate(LINES) if line.startswith("RUN "))


def test_everything_is_installed_from_the_constraints() -> None:
    (install,) = (line for line in LINES if "pip install" in line and "STORAGE" not in line)
    assert "-c cluster/constraints.txt" in install
    assert "'.[jobs]'" in install


def test_what_is_copied_is_sent_to_the_builder() -> None:
    copied = {
        part for line in LINES if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]
    }
    sent = {line[1:] for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied == sent
    assert all((CLUSTER.parent / path).exists() for path in sent)
