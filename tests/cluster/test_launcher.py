"""Ray's cluster launcher files, as `ray up` reads and checks them."""

import copy
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.conftest import CLUSTER

FILES = sorted((CLUSTER / "launcher").glob("*.yaml"))


def load(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((CLUSTER / "launcher" / name).read_text())
    return config


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_ray_takes_it(name: str) -> None:
    config = load(name)
    validate_config(prepare_config(copy.deepcopy(config)))
    config["available_node_types"]["gpu"]["max_worker"] = 8
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_gpus_come_from_nothing_and_the_head_does_no_work(name: str) -> None:
    config = load(name)
    types = config["available_node_types"]
    assert (types["gpu"]["min_workers"], types["gpu"]["max_workers"]) == (0, config["max_workers"])
    assert types["gpu"]["resources"]["GPU"] == 1
    assert types["head"]["resources"] == {"CPU": 0}
    assert any("--num-cpus=0" in command for command in config["head_start_ray_commands"])


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_the_token_is_on_on_every_node(name: str) -> None:
    config = load(name)
    assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert commands[-1].startswith("RAY_AUTH_MODE=token ray start ")


def test_gpu_nodes_are_spot() -> None:
    aws, gcp = (load(name)["available_node_types"]["gpu"]["node_config"] for name in ("aws.yaml", "gcp.yaml"))
    assert aws["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert gcp["scheduling"]["provisioningModel"] == "SPOT"
