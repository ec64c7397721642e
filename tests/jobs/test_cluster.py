from pathlib import Path
from typing import Any

import pytest
import ray

from jobs.cluster import fit, joined, room, shortage
from jobs.config.job import Actors
from jobs.errors import Refused
from tests.jobs.object_store import free_port


@pytest.fixture
def resources(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    there = {"CPU": 2.0}
    monkeypatch.setattr(ray, "cluster_resources", lambda: there)
    return there


def test_an_actor_takes_a_gpu_where_there_is_one(resources: dict[str, float]) -> None:
    assert fit(Actors(), fixed=True).num_gpus == 0
    resources["GPU"] = 1.0
    assert fit(Actors(), fixed=True).num_gpus == 1
    assert fit(Actors(num_gpus=0), fixed=True).num_gpus == 0


@pytest.mark.parametrize(
    ("actors", "sentence"),
    [
        (Actors(num_cpus=2), "actors: 1 x 2 CPUs leave none of 2 for planning, which needs 1; lower"),
        (Actors(count=3, num_cpus=0.5), "actors: 3 x 0.5 CPUs leave none of 2"),
        (Actors(num_gpus=1), "actors: 1 x 1 GPUs wanted, 0 there"),
    ],
)
def test_actors_that_would_wait_for_ever_are_refused(
    resources: dict[str, float], actors: Actors, sentence: str
) -> None:
    with pytest.raises(Refused, match=sentence):
        fit(actors, fixed=True)


def test_a_cluster_that_may_grow_is_given_the_chance(resources: dict[str, float]) -> None:
    assert fit(Actors(count=100, num_cpus=4, num_gpus=1), fixed=False).count == 100


def test_what_a_cluster_lacks_by_now_is_said(resources: dict[str, float]) -> None:
    assert shortage(Actors()) is None
    assert "actors need 2 CPUs and 0 GPUs, planning 1 CPU; the cluster has 2 CPUs" in (
        shortage(Actors(num_cpus=2)) or ""
    )
    assert "need 1 CPUs and 1 GPUs" in (shortage(Actors(num_gpus=1)) or "")


def test_every_models_actors_need_room_and_what_others_take_is_said(
    resources: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.cluster._join", lambda _: True)
    resources["GPU"], free = 2.0, {"CPU": 2.0, "GPU": 2.0}
    monkeypatch.setattr(ray, "available_resources", lambda: free)
    assert room([Actors(), Actors()]) == ("the cluster has room",)
    (lacking,) = room([Actors(), Actors(num_gpus=4)])
    assert "need 1 CPUs and 4 GPUs" in lacking
    del free["GPU"]
    assert room([Actors()]) == ("the cluster has room", "other work takes 2 of 2 GPUs of it at the moment")


def test_an_address_that_is_none_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "bogus://me:secret@host")
    with pytest.raises(Refused, match="no Ray cluster at RAY_ADDRESS=bogus://host: ") as refused, joined():
        pass
    assert "secret" not in str(refused.value)


def test_an_address_where_nothing_answers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray would try for minutes"))
    with pytest.raises(Refused, match=r"no Ray cluster at RAY_ADDRESS=127.0.0.1:\d+: .*nothing answers at"):
        room([Actors()])


def test_a_cluster_that_is_gone_is_not_joined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `ray start` leaves its note where it was killed."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{free_port()}")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray would try for minutes"))
    assert "no Ray cluster runs here" in room([Actors()])[0]


def test_a_local_address_is_a_cluster_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setattr(ray, "init", lambda **_: None)
    with joined() as fixed:
        assert fixed


def test_actors_may_share_a_single_cpu(resources: dict[str, float]) -> None:
    resources["CPU"] = 1.0
    assert fit(Actors(num_cpus=0), fixed=True).num_cpus == 0


def test_the_log_format_reaches_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setattr(ray, "init", lambda **options: given.update(options))
    with joined("json"):
        assert given["logging_config"].encoding == "JSON"
    with joined():
        assert given["logging_config"] is None
