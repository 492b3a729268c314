"""The manifests of docker/kubernetes: what Kubernetes' schemas and Prefect's own worker make of them."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from flows.__main__ import COMMANDS
from tasks.config.service import POOL
from tasks.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docker/kubernetes"
MANIFESTS = ["raycluster.yaml", "workers.yaml"]
TEMPLATE = json.loads((FOLDER / "base-job-template.json").read_text())
OURS = re.compile(r"antipode-(generation|training)-gpu:latest|antipode-service:latest")
SECRET = {"ANTIPODE_DATABASE_URL", "PREFECT_API_AUTH_STRING", "RAY_AUTH_TOKEN"}


def _names(words: str) -> set[str]:
    return set(words.split())


# What KubeRay's definition of `ray.io/v1` has beside the pods; what it must have is marked.
CLUSTER_KEYS = _names(
    "authOptions autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions headGroupSpec! managedBy "
    "headServiceAnnotations rayVersion suspend upgradeStrategy workerGroupSpecs"
)
HEAD_KEYS = _names("enableIngress headService labels rayStartParams resources serviceType template!")
GROUP_KEYS = _names(
    "groupName! idleTimeoutSeconds labels maxReplicas! minReplicas! numOfHosts rayStartParams replicas resources "
    "scaleStrategy suspend template!"
)
# What Prefect's chart knows of those that we give. It refuses any other: its schema allows none.
CHART_KEYS = _names(
    "apiConfig selfHostedServerApiConfig.apiUrl selfHostedServerApiConfig.basicAuth.enabled image.prefectTag "
    "selfHostedServerApiConfig.basicAuth.existingSecret config.workPool livenessProbe.enabled "
    "containerSecurityContext.capabilities.drop"
)

kubernetes = pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None, reason="kubernetes-validate is not installed (extra dev)"
)
prefect_kubernetes = pytest.mark.skipif(
    importlib.util.find_spec("prefect_kubernetes") is None, reason="prefect-kubernetes is not installed (CONTRIBUTING)"
)


@kubernetes
def test_kubernetes_takes_every_manifest():
    import kubernetes_validate

    kinds = []
    for manifest in _documents("workers.yaml"):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        kinds.append(manifest["kind"])
    assert kinds == ["ConfigMap", *["PersistentVolumeClaim"] * 2, *["StatefulSet"] * 3]


@kubernetes
def test_kubernetes_takes_the_pods_of_the_ray_cluster():
    import kubernetes_validate

    for template in _pod_templates(_ray_cluster()):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_kuberay_knows_every_field_of_the_ray_cluster():
    cluster = _ray_cluster()
    spec = cluster["spec"]
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    groups = [(spec, CLUSTER_KEYS), (spec["headGroupSpec"], HEAD_KEYS)]
    groups += [(group, GROUP_KEYS) for group in spec["workerGroupSpecs"]]
    for given, known in groups:
        assert given.keys() <= {key.removesuffix("!") for key in known}
        assert {key.removesuffix("!") for key in known if key.endswith("!")} <= given.keys()
    for given in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in given["rayStartParams"].values()), "a map of strings"
        assert given["template"].keys() <= {"metadata", "spec"}
    for group in spec["workerGroupSpecs"]:
        counts = [group[name] for name in ("minReplicas", "replicas", "maxReplicas")]
        assert counts == sorted(counts) and all(isinstance(count, int) for count in counts)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra ray)")
def test_ray_start_knows_every_parameter():
    from ray.scripts.scripts import start

    options = {option for parameter in start.params for option in parameter.opts}
    spec = _ray_cluster()["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert {f"--{name}" for name in group["rayStartParams"]} <= options


def test_what_waits_for_the_head_of_the_ray_cluster_has_the_token():
    """KubeRay has a container of its own wait in a worker's pod, by the first container's `env`, not its `envFrom`."""
    for group in _ray_cluster()["spec"]["workerGroupSpecs"]:
        told = {one["name"]: one for one in group["template"]["spec"]["containers"][0]["env"]}
        assert told["RAY_AUTH_MODE"]["value"] == "token"
        assert told["RAY_AUTH_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "antipode", "key": "RAY_AUTH_TOKEN"}}


def test_prefects_chart_knows_every_value():
    assert set(_paths(_chart_values())) == {f"worker.{key}" for key in CHART_KEYS}


@kubernetes
@pytest.mark.parametrize("gpus", [0, 1])
def test_kubernetes_takes_the_job_of_a_run(gpus: int):
    job = _filled({"gpus": gpus, "command": ["prefect", "flow-run", "execute"], "env": []})["job_manifest"]
    _check_job(job)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
    assert OURS.fullmatch(container["image"])


@kubernetes
@prefect_kubernetes
def test_kubernetes_takes_the_job_that_prefects_worker_makes_of_a_run():
    from prefect.client.schemas.objects import FlowRun
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    configuration = KubernetesWorkerJobConfiguration.model_validate(_filled({}))
    configuration.prepare_for_flow_run(FlowRun(flow_id=uuid4(), name="a run"))
    _check_job(configuration.job_manifest)
    (container,) = configuration.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert {one["name"] for one in container["env"]} >= {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "PREFECT__FLOW_RUN_ID"}
    assert configuration.namespace == "antipode" and configuration.pod_watch_timeout_seconds == 1800


def test_every_variable_of_the_template_is_used_and_declared():
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    assert used == set(TEMPLATE["variables"]["properties"])


def test_runs_of_the_light_queue_hold_no_gpu():
    light = yaml.safe_load((ROOT / "deployments.yaml").read_text())["definitions"]["light"]
    assert light["job_variables"] == {"gpus": 0}
    assert set(light["job_variables"]) <= set(TEMPLATE["variables"]["properties"])


def test_a_job_tells_its_run_what_our_worker_tells():
    from flows.service.worker import worker_environment

    told = worker_environment({})
    environment = TEMPLATE["variables"]["properties"]["env"]["default"]
    assert len(environment) == 2
    assert environment == {name: told[name] for name in environment}


def test_every_queue_has_a_worker():
    workers = [worker for manifest in _documents("workers.yaml") for worker in _containers(manifest)]
    queues = [container["command"][container["command"].index("--queues") + 1] for container in workers]
    pools = yaml.safe_load((ROOT / "deployments.yaml").read_text())["definitions"].values()
    assert sorted(queues) == sorted(pool["work_queue_name"] for pool in pools)
    for container in [*workers, *_containers(_ray_cluster())]:
        command = container.get("command")
        assert command is None or (command[0] == "antipode" and command[1] in COMMANDS), command
        assert OURS.fullmatch(container["image"])


def test_every_variable_is_a_setting():
    import prefect.settings

    named = set(_documents("workers.yaml")[0]["data"]) | SECRET
    named |= {one["name"] for container in _containers(_ray_cluster()) for one in container.get("env", [])}
    assert {name for name in named if name.startswith("PREFECT_") and not hasattr(prefect.settings, name)} == set()
    ours = {name.removeprefix("ANTIPODE_").lower() for name in named if name.startswith("ANTIPODE_")}
    assert {"engine", "database_url"} <= ours <= set(Settings.model_fields)


def test_no_secret_stands_in_a_manifest():
    for file in FOLDER.iterdir():
        for name in SECRET:
            assert not re.search(rf"{name}(\W+value\b|[\"']?\s*:\s*\S)", file.read_text()), f"{file.name}: {name}"
    page = (ROOT / "docs/kubernetes.md").read_text()
    assert [name for name in SECRET if f"--from-literal={name}=" not in page] == []


def test_everything_runs_as_the_images_user_without_rights():
    pods = [template["spec"] for name in MANIFESTS for one in _documents(name) for template in _pod_templates(one)]
    pods.append(_filled({})["job_manifest"]["spec"]["template"]["spec"])
    assert len(pods) == 6
    for pod in pods:
        assert pod["securityContext"]["runAsUser"] == 10001 and pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == confined, container["name"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["volumes"]}


def test_ray_and_the_charts_worker_have_the_versions_of_the_images():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert _ray_cluster()["spec"]["rayVersion"] == pins["ray"]
    worker = _chart_values()["worker"]
    assert worker["image"]["prefectTag"].split("-")[0] == pins["prefect"]
    assert worker["config"]["workPool"] == POOL
    assert "authString" not in worker["selfHostedServerApiConfig"]["basicAuth"]


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def _ray_cluster() -> dict[str, Any]:
    (cluster,) = _documents("raycluster.yaml")
    return cluster


def _chart_values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((FOLDER / "prefect-worker-values.yaml").read_text())
    return values


def _paths(values: dict[str, Any]) -> Iterator[str]:
    """Every value's name with those above it."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from (f"{name}.{below}" for below in _paths(value))
        else:
            yield name


def _pod_templates(manifest: Any) -> Iterator[dict[str, Any]]:
    """Every pod's template in a manifest, however deep."""
    if isinstance(manifest, dict):
        if "containers" in manifest.get("template", {}).get("spec", {}):
            yield manifest["template"]
        for value in manifest.values():
            yield from _pod_templates(value)
    elif isinstance(manifest, list):
        for value in manifest:
            yield from _pod_templates(value)


def _containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [container for template in _pod_templates(manifest) for container in template["spec"]["containers"]]


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    """What Prefect's worker makes of the template: of its defaults and these values."""
    from prefect.utilities.templating import apply_values

    variables = TEMPLATE["variables"]["properties"]
    defaults = {name: variable["default"] for name, variable in variables.items() if "default" in variable}
    return apply_values(TEMPLATE["job_configuration"], defaults | values, remove_notset=True)


def _check_job(job: dict[str, Any]) -> None:
    import kubernetes_validate

    pod = job["spec"]["template"]["spec"]
    # Prefect asks for these two in the pod, and Kubernetes drops them: they belong one level higher.
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
