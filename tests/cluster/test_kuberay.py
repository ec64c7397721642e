"""The Kubernetes files against the schemas of their kinds, each other, and the job that they run.

The schemas of KubeRay's kinds lie outside of the project: in $KUBERAY_CRDS, else beside the checkout in
shared/kuberay-crds. So what needs them is apart, `pytest -m kuberay`, which .ci/run always runs.
"""

import os
from datetime import date, datetime, time, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import kubernetes_validate
import pytest
import yaml

from jobs.config.job import Alarm
from jobs.config.load import load_job
from jobs.exits import ALARM, REFUSED
from jobs.nights.night import folder_of_nights
from tests.cluster.conftest import CLUSTER

FOLDER = CLUSTER / "kuberay"
KINDS = {"RayCluster": "rayclusters", "RayJob": "rayjobs", "RayCronJob": "raycronjobs"}
RAY_FILES = ("ray-cluster.yaml", "ray-job.yaml", "ray-cron-job.yaml")
OTHER_FILES = ("cron-job.yaml", "models.yaml", "service-account.yaml")
DAY = 24 * 60 * 60


def load(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def kustomization() -> Any:
    return yaml.safe_load((CLUSTER / "kustomization.yaml").read_text())


def ray_spec(name: str) -> dict[str, Any]:
    """The cluster of a RayCluster, RayJob or RayCronJob."""
    spec = load(name)["spec"]
    job = spec.get("jobTemplate", spec)
    cluster: dict[str, Any] = job.get("rayClusterSpec", spec)
    return cluster


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Every pod's spec, with a name to find it by."""
    spec = ray_spec("ray-cluster.yaml")
    (group,) = spec["workerGroupSpecs"]
    night = load("cron-job.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return [
        ("head", spec["headGroupSpec"]["template"]["spec"]),
        ("worker", group["template"]["spec"]),
        ("submit", night),
    ]


@cache
def crd(kind: str) -> dict[str, Any]:
    folder = Path(os.environ.get("KUBERAY_CRDS", CLUSTER.parents[1] / "shared" / "kuberay-crds"))
    if not folder.is_dir():
        pytest.fail(f"KubeRay's CRDs are not in {folder}; set KUBERAY_CRDS to ray-operator/config/crd/bases of KubeRay")
    # Hundreds of kilobytes: in C where libyaml is there.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load((folder / f"ray.io_{KINDS[kind]}.yaml").read_text(), loader)
    (schema,) = (each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"] if each["name"] == "v1")
    checked: dict[str, Any] = strict(schema)
    checked["properties"]["metadata"] = {"type": "object"}
    return checked


def strict(schema: Any) -> Any:
    """The schema with every field that it does not name forbidden: a cluster would drop such a field silently."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: strict(value) for name, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        return {name: value for name, value in inner.items() if name != "type"} | {"type": ["integer", "string"]}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        inner["additionalProperties"] = schema.get("x-kubernetes-preserve-unknown-fields", False)
    return inner


def valid(manifest: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(crd(manifest["kind"])).validate(manifest)


@pytest.mark.kuberay
@pytest.mark.parametrize("name", RAY_FILES)
def test_ray_kinds_are_what_their_crd_allows(name: str) -> None:
    valid(load(name))


@pytest.mark.kuberay
@pytest.mark.parametrize("name", RAY_FILES)
def test_a_field_that_the_crd_does_not_know_is_found(name: str) -> None:
    manifest = load(name)
    spec = manifest["spec"]
    spec.get("jobTemplate", spec).get("rayClusterSpec", spec)["workerGroupSpecs"][0]["template"]["spec"][
        "tolerances"
    ] = []
    with pytest.raises(jsonschema.ValidationError, match="tolerances"):
        valid(manifest)


@pytest.mark.kuberay
def test_a_value_of_another_type_is_found() -> None:
    manifest = load("ray-cluster.yaml")
    manifest["spec"]["workerGroupSpecs"][0]["maxReplicas"] = "8"
    with pytest.raises(jsonschema.ValidationError, match="'8' is not of type 'integer'"):
        valid(manifest)


@pytest.mark.parametrize("name", OTHER_FILES)
def test_kubernetes_own_kinds_are_what_its_api_allows(name: str) -> None:
    kubernetes_validate.validate(load(name), "1.33", strict=True)


@pytest.mark.parametrize(("name", "pod"), pods())
def test_pods_inside_ray_kinds_are_what_the_api_allows(name: str, pod: dict[str, Any]) -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}
    kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_all_three_run_the_same_cluster() -> None:
    first, second, third = map(ray_spec, RAY_FILES)
    assert first == second == third
    once, nightly = load("ray-job.yaml")["spec"], load("ray-cron-job.yaml")["spec"]["jobTemplate"]
    assert once == nightly


def test_a_worker_pod_holds_one_actor_and_room_for_the_rest() -> None:
    job = load_job([str(FOLDER / "job.yaml")])
    (group,) = ray_spec("ray-cluster.yaml")["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    resources = container["resources"]
    assert resources["requests"] == resources["limits"]
    assert float(resources["requests"]["nvidia.com/gpu"]) == job.actors.num_gpus
    assert float(resources["requests"]["cpu"]) >= job.actors.num_cpus + 1
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (0, 0, job.actors.count)


def test_no_work_lands_on_the_head() -> None:
    assert ray_spec("ray-cluster.yaml")["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_job_mounted_is_the_job_run() -> None:
    command = f"python -m jobs generate /etc/jobs/{(FOLDER / 'job.yaml').name}"
    assert load("ray-job.yaml")["spec"]["entrypoint"] == command
    (config_map, dashboard) = kustomization()["configMapGenerator"]
    assert (config_map["files"], dashboard["files"]) == (["kuberay/job.yaml"], ["grafana.json"])
    for _, pod in pods():
        assert {"name": "job", "configMap": {"name": config_map["name"]}} in pod["volumes"]
        (container,) = pod["containers"]
        assert {"name": "job", "mountPath": "/etc/jobs", "readOnly": True} in container["volumeMounts"]
    submit = load("cron-job.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"]
    cluster = load("ray-cluster.yaml")["metadata"]["name"]
    assert submit[2:] == [
        *("python", "-m", "jobs", "submit", "/etc/jobs/job.yaml"),
        *("--address", f"http://{cluster}-head-svc:8265"),
    ]


def test_nights_do_not_overlap() -> None:
    night = load("cron-job.yaml")["spec"]
    assert night["concurrencyPolicy"] == "Forbid"
    assert night["jobTemplate"]["spec"]["activeDeadlineSeconds"] < DAY
    nightly = load("ray-cron-job.yaml")["spec"]
    job = nightly["jobTemplate"]
    assert (job["backoffLimit"] + 1) * job["activeDeadlineSeconds"] + job["ttlSecondsAfterFinished"] < DAY
    assert (nightly["schedule"], nightly["timeZone"]) == (night["schedule"], night["timeZone"])


# An ordinary day, and those on which clocks are changed in the night.
@pytest.mark.parametrize("day", [date(2026, 11, 22), date(2026, 3, 28), date(2026, 10, 24)])
def test_every_attempt_of_a_night_is_made_in_that_night(day: date) -> None:
    """So that it goes on in the same folder, and the next night starts anew."""
    job = load_job([str(FOLDER / "job.yaml")])
    assert folder_of_nights(job.output)
    night, nightly = load("cron-job.yaml")["spec"], load("ray-cron-job.yaml")["spec"]
    minute, hour = map(int, night["schedule"].split()[:2])
    start, following = (
        datetime.combine(each, time(hour, minute), ZoneInfo(night["timeZone"])).astimezone(timezone.utc)
        for each in (day, day + timedelta(days=1))
    )
    attempts = nightly["jobTemplate"]["backoffLimit"] + 1
    lasts = max(
        night["startingDeadlineSeconds"] + night["jobTemplate"]["spec"]["activeDeadlineSeconds"],
        attempts * nightly["jobTemplate"]["activeDeadlineSeconds"],
    )
    # Ten minutes for clocks that differ.
    moments = (start - timedelta(minutes=10), start, start + timedelta(seconds=lasts))
    assert {job.night.at(moment) for moment in moments} == {day.isoformat()}
    assert job.night.at(following - timedelta(minutes=10)) == (day + timedelta(days=1)).isoformat()


def test_what_another_attempt_can_not_mend_is_not_tried_again() -> None:
    (rule,) = load("cron-job.yaml")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [REFUSED, ALARM])
    assert load_job([str(FOLDER / "job.yaml")]).alarm != Alarm()


def test_spot_nodes_are_welcome_and_leave_in_time() -> None:
    (_, worker) = pods()[1]
    assert {each["key"] for each in worker["tolerations"]} >= {"nvidia.com/gpu", "cloud.google.com/gke-spot"}
    stop = worker["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert int(stop[-1]) < worker["terminationGracePeriodSeconds"] <= 25


def test_the_token_is_on_and_secrets_are_references() -> None:
    auth = ray_spec("ray-cluster.yaml")["authOptions"]
    assert auth == {"mode": "token", "secretName": "fox-flux-ray"}
    given = {variable["name"]: variable for _, pod in pods() for variable in pod["containers"][0]["env"]}
    assert given["RAY_AUTH_MODE"]["value"] == "token"
    token = given["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert token == {"name": auth["secretName"], "key": "auth_token"}
    assert all("valueFrom" in variable for name, variable in given.items() if name != "RAY_AUTH_MODE")
    assert not any(load(path.name)["kind"] == "Secret" for path in FOLDER.glob("*.yaml") if "kind" in load(path.name))


@pytest.mark.parametrize(("name", "pod"), pods())
def test_pods_run_as_nobody_special(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_weights_are_kept_in_one_volume() -> None:
    claim = load("models.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    home = next(line for line in (CLUSTER / "Dockerfile").read_text().splitlines() if "HF_HOME=" in line)
    for name, pod in pods()[:2]:
        volume = {"name": "models", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        assert volume in pod["volumes"], name
        (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "models")
        assert f"HF_HOME={mount['mountPath']} " in home


def test_all_pods_run_the_same_image() -> None:
    assert len({pod["containers"][0]["image"] for _, pod in pods()}) == 1


def test_every_file_is_tested_and_every_resource_is_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*RAY_FILES, *OTHER_FILES, "job.yaml"}
    for resource in kustomization()["resources"]:
        assert (CLUSTER / resource).is_file()
