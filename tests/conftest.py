"""Settings that every test shares."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# That a machine is busy is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

torch.set_num_threads(1)  # one thread rounds the same way on every machine

# Workers that Ray starts have to find the tests' own modules, which no package installs.
ROOT = str(Path(__file__).parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at a job's metrics and logs is slow: the job has a Ray of its own, which exports them in its time."""
    for item in items:
        if isinstance(item, pytest.Function) and "exported" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not go through its million objects all the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a job's output, `out`, and what Prometheus gets to read of it, `metrics.txt`."""
    folder = tmp_path_factory.mktemp("exported")
    command = [sys.executable, "-m", "tests.exported", str(folder)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout
    return folder
