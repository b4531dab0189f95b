"""What every container is given, and what it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import pytest
from manifest_helpers import ROOT, Manifest

Choose = Callable[..., list[Manifest]]
PINNED = re.compile(r"^[\w./-]+:v?\d+(\.\d+)+$")
STATE = "/var/lib/tidemark"


def pods(of_kind: Choose) -> list[Manifest]:
    """Workloads: their names and what their pods are made of."""
    found = of_kind("Deployment", "StatefulSet", "Job", "CronJob", "DaemonSet", "Pod")
    assert {one["kind"] for one in found} == {"Deployment", "StatefulSet"}
    return found


def containers(of_kind: Choose) -> Iterator[tuple[Manifest, Manifest]]:
    """Each container with its pod."""
    for workload in pods(of_kind):
        pod = workload["spec"]["template"]["spec"]
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            yield pod, container


def test_nothing_runs_as_root_or_may_become_it(of_kind: Choose) -> None:
    for pod, container in containers(of_kind):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_no_pod_is_given_a_key_to_kubernetes(of_kind: Choose) -> None:
    for account in of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    accounts = {one["metadata"]["name"] for one in of_kind("ServiceAccount")}
    for pod, _ in containers(of_kind):
        assert pod["serviceAccountName"] in accounts
        assert pod["automountServiceAccountToken"] is False
    assert of_kind("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding") == []


def test_variables_that_kubernetes_adds_do_not_look_like_settings(of_kind: Choose) -> None:
    """TIDEMARK_WORKER_SERVICE_HOST and its like would be refused as settings that do not exist."""
    for pod, _ in containers(of_kind):
        assert pod["enableServiceLinks"] is False


def test_every_container_has_requests_and_limits(of_kind: Choose) -> None:
    for _, container in containers(of_kind):
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert {"cpu", "memory"} <= set(resources["limits"])


def test_threads_are_as_many_as_the_processors_allowed(of_kind: Choose) -> None:
    for _, container in containers(of_kind):
        sources = {one["name"]: one.get("valueFrom") for one in container["env"]}
        limit = {"resourceFieldRef": {"resource": "limits.cpu"}}
        assert sources["TIDEMARK_ENCODER__THREADS"] == limit
        assert sources["OMP_NUM_THREADS"] == limit


def test_every_folder_that_is_written_is_a_volume_with_a_limit(of_kind: Choose) -> None:
    for workload in pods(of_kind):
        pod = workload["spec"]["template"]["spec"]
        volumes = {one["name"]: one for one in pod["volumes"]}
        for claim in workload["spec"].get("volumeClaimTemplates", ()):
            volumes[claim["metadata"]["name"]] = claim
            assert claim["spec"]["resources"]["requests"]["storage"]
        (container,) = pod["containers"]
        mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
        assert {"/tmp", STATE} <= set(mounts)  # noqa: S108 # a path in the container
        for path, mount in mounts.items():
            volume = volumes[mount["name"]]
            written = path in {"/tmp", STATE}  # noqa: S108
            assert mount.get("readOnly", False) is not written, path
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"]
        arguments = container["args"]
        assert arguments[arguments.index("--state") + 1] == STATE


def test_the_retrieval_services_state_outlives_its_pod(of_kind: Choose) -> None:
    (retrieval,) = of_kind("StatefulSet")
    (claim,) = retrieval["spec"]["volumeClaimTemplates"]
    (container,) = retrieval["spec"]["template"]["spec"]["containers"]
    assert {"name": claim["metadata"]["name"], "mountPath": STATE} in container["volumeMounts"]


def test_image_tags_are_pinned(of_kind: Choose, compose: Manifest) -> None:
    images = [container["image"] for _, container in containers(of_kind)]
    images += [service["image"] for service in compose["services"].values()]
    assert len(images) >= 8
    for image in images:
        assert PINNED.match(image), image


def test_the_images_version_is_the_projects(of_kind: Choose, compose: Manifest) -> None:
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert version is not None
    ours = [container["image"] for _, container in containers(of_kind)]
    ours += [one["image"] for one in compose["services"].values() if "build" in one]
    for image in ours:
        assert image.partition(":")[2] == version[1]
    for name in ("Dockerfile", "Dockerfile.cuda"):
        assert f"ARG VERSION={version[1]}\n" in (ROOT / "deploy" / name).read_text()


def test_secrets_are_named_and_never_written_down(manifests: tuple[Manifest, ...]) -> None:
    assert [one for one in manifests if one["kind"] == "Secret"] == []
    suspicious = re.compile(r"password|token|secret", re.IGNORECASE)
    harmless = re.compile(r"_FILE$|^TIDEMARK_ENCODER__|THREADS$")
    for manifest in manifests:
        template = manifest.get("spec", {}).get("template", {}) if manifest.get("spec") else {}
        for container in template.get("spec", {}).get("containers", ()):
            for variable in container["env"]:
                if suspicious.search(variable["name"]) and not harmless.search(variable["name"]):
                    assert set(variable) == {"name", "valueFrom"}, variable
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}


def test_a_rollout_and_a_drain_leave_the_service_up(of_kind: Choose) -> None:
    budgets = {one["metadata"]["name"]: one["spec"] for one in of_kind("PodDisruptionBudget")}
    for workload in pods(of_kind):
        budget = budgets.pop(workload["metadata"]["name"])
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"].items() <= labels.items()
        assert budget["maxUnavailable"] == 1
        spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {
            "topology.kubernetes.io/zone", "kubernetes.io/hostname",
        }  # fmt: skip
        for one in spread:
            assert one["labelSelector"]["matchLabels"].items() <= labels.items()
        # A worker ends within 10 s of SIGTERM, the service's requests within 5.
        assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 20
    assert budgets == {}


def test_with_a_gpu_the_encoder_uses_it(overlays: dict[str, tuple[Manifest, ...]]) -> None:
    (worker,) = [one for one in overlays["gpu"] if one["kind"] == "Deployment"]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("tidemark-cuda:")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "TIDEMARK_ENCODER__DEVICE", "value": "cuda"} in container["env"]


# Compose ----------------------------------------------------------------------------------------


def test_composed_containers_are_confined(compose: Manifest) -> None:
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        if name != "kafka":  # its start script writes its configuration beside its program
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service


def test_composed_services_are_watched_and_started_again(compose: Manifest) -> None:
    for name, service in compose["services"].items():
        if name == "topics":  # runs once
            assert service["restart"] == "on-failure"
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] == "CMD", name


def test_nothing_composed_listens_beyond_the_machine(compose: Manifest) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_workers_can_be_several(compose: Manifest) -> None:
    worker = compose["services"]["worker"]
    assert "ports" not in worker
    assert "container_name" not in worker
    # Of a named volume there is one for all; LMDB's file must be each container's own.
    cache = worker["environment"]["TIDEMARK_ENCODER__DISK_CACHE"]
    assert cache in worker["volumes"]
    assert PurePosixPath(cache) in {
        PurePosixPath(path)
        for line in (ROOT / "deploy/Dockerfile").read_text().splitlines()
        if line.lstrip().startswith("&& install -d")
        for path in line.split()
        if path.startswith("/var/")
    }


def test_state_is_in_named_volumes(compose: Manifest) -> None:
    for name, folder in {
        "kafka": "/var/lib/kafka/data",
        "worker": STATE,
        "retrieval": STATE,
        "prometheus": "/prometheus",
        "grafana": "/var/lib/grafana",
    }.items():
        assert f"{name}:{folder}" in compose["services"][name]["volumes"]
        assert name in compose["volumes"]


def test_threads_fit_the_processors_of_composed_services(compose: Manifest) -> None:
    for name in ("worker", "retrieval"):
        service = compose["services"][name]
        threads = service["environment"]["TIDEMARK_ENCODER__THREADS"]
        assert threads == int(service["deploy"]["resources"]["limits"]["cpus"])


def test_composed_secrets_are_files_or_asked_for(compose: Manifest) -> None:
    for name, secret in compose["secrets"].items():
        assert set(secret) == {"file"}, name
    tokens = compose["services"]["retrieval"]["environment"]["TIDEMARK_RETRIEVAL__TOKENS"]
    assert tokens.startswith("${TIDEMARK_RETRIEVAL__TOKENS:?")
    grafana = compose["services"]["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    password = grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert password.removeprefix("/run/secrets/") in grafana["secrets"]
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_what_composed_services_are_given_to_read_is_there(compose: Manifest, service: str) -> None:
    mounted = [one for one in compose["services"][service]["volumes"] if one.startswith("./")]
    assert mounted
    for one in mounted:
        source, _, mode = one.split(":")
        assert mode == "ro"
        assert any((ROOT / "deploy" / source).iterdir()), source
