"""What the manifests start is there: commands, settings, probes, ports, topics."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from manifest_helpers import Manifest
from prometheus_client import CollectorRegistry
from service_rig import serving

from streams.health import Health
from streams.health_server import HealthServer
from streams.topic_settings import topic_specs
from tidemark.cli.main import app
from tidemark.compose.parts import topic_names
from tidemark.settings import Settings, load_settings

Choose = Callable[..., list[Manifest]]
#: What a secret holds, where settings ask for one; README.md says how it is made.
TOKENS = json.dumps([{"sha256": "0" * 64, "scopes": ["read"], "name": "shop"}])
SECRETS = {"TIDEMARK_RETRIEVAL__TOKENS": TOKENS, "TIDEMARK_RETRIEVAL__MILVUS_TOKEN": "user:word"}
#: The variables of Kubernetes' own that a container refers to.
FIELDS = {"limits.cpu": "2", "metadata.labels['apps.kubernetes.io/pod-index']": "1"}


def parse(arguments: list[str]) -> dict[str, Any]:
    """A command line as the command takes it.

    Raises:
        typer's UsageError: there is no such command or option.
    """
    command: Any = typer.main.get_command(app)
    name, rest, parent = "tidemark", list(arguments), None
    while True:
        context = command.make_context(name, rest, parent=parent)
        below = [*getattr(context, "_protected_args", ()), *context.args]
        if not below:
            given: dict[str, Any] = context.params
            return given
        name, command, rest = command.resolve_command(context, below)
        parent = context


def test_a_wrong_command_line_is_found() -> None:
    with pytest.raises(Exception, match="No such option: --metricsport"):
        parse(["worker", "--metricsport", "1"])
    with pytest.raises(Exception, match="No such command 'wroker'"):
        parse(["wroker"])


def test_every_containers_command_is_one(of_kind: Choose, compose: Manifest) -> None:
    lines = [one["args"] for one in containers(of_kind)]
    lines += [one["command"] for one in compose["services"].values() if "build" in one]
    assert len(lines) == 5
    for line in lines:
        assert all(isinstance(word, str) for word in line)
        parse(line)


def containers(of_kind: Choose) -> Iterator[Manifest]:
    for workload in of_kind("Deployment", "StatefulSet"):
        yield from workload["spec"]["template"]["spec"]["containers"]


def environment(container: Manifest, files: Path) -> dict[str, str]:
    """A container's variables as it finds them, with its files below ``files``."""
    found: dict[str, str] = {}
    for one in container["env"]:
        match one:
            case {"value": str(value)}:
                # Kubernetes' own rule: only what was defined before.
                for name, before in found.items():
                    value = value.replace(f"$({name})", before)
                assert "$(" not in value, one
                found[one["name"]] = value
            case {"valueFrom": {"secretKeyRef": _}}:
                found[one["name"]] = SECRETS[one["name"]]
            case {"valueFrom": {"resourceFieldRef": {"resource": field}}}:
                found[one["name"]] = FIELDS[field]
            case {"valueFrom": {"fieldRef": {"fieldPath": field}}}:
                found[one["name"]] = FIELDS[field]
            case _:
                raise AssertionError(one)
    for name in ("TIDEMARK_KAFKA__SECURITY__PASSWORD_FILE", "TIDEMARK_KAFKA__SECURITY__CA_FILE"):
        if name in found:
            (files / Path(found[name]).name).write_text("secret")
            found[name] = str(files / Path(found[name]).name)
    return found


def load(
    container: Manifest, config: str | None, files: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings that the process in a container has."""
    for name in list(os.environ):
        if name.startswith("TIDEMARK_"):
            monkeypatch.delenv(name)
    for name, value in environment(container, files).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TIDEMARK_CONFIG", raising=False)
    file = None
    if config is not None:
        file = files / "tidemark.toml"
        file.write_text(config)
    settings = load_settings(file)
    for name in environment(container, files):
        monkeypatch.delenv(name, raising=False)
    return settings


@pytest.fixture
def settings_of(
    of_kind: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Settings]:
    """By container. The file is where the variable says, from the map that is mounted there."""
    (config,) = of_kind("ConfigMap")
    found = {}
    for workload in of_kind("Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        for container in pod["containers"]:
            (path,) = [x["value"] for x in container["env"] if x["name"] == "TIDEMARK_CONFIG"]
            folder, _, file = path.rpartition("/")
            (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == folder]
            (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
            assert volume["configMap"]["name"] == config["metadata"]["name"]
            text = config["data"][file]
            assert tomllib.loads(text)
            found[container["name"]] = load(container, text, tmp_path, monkeypatch)
    return found


def test_the_settings_exist_and_fit_the_manifests(
    settings_of: Mapping[str, Settings], of_kind: Choose, overlay: str
) -> None:
    worker, retrieval = settings_of["worker"], settings_of["retrieval"]
    assert worker.logging.format == retrieval.logging.format == "json"
    assert worker.kafka.group == retrieval.kafka.group == "tidemark"
    assert worker.encoder.threads == 2
    retrieval.retrieval.require_protection()
    ports = {
        (one["name"], port["containerPort"]) for one in containers(of_kind) for port in one["ports"]
    }
    assert ports == {
        ("worker", worker.worker.metrics_port),
        ("retrieval", retrieval.retrieval.port),
    }
    assert worker.worker.metrics_host == retrieval.retrieval.host == "0.0.0.0"  # noqa: S104
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind("Service")}
    (workers,) = retrieval.dashboard.workers
    name, _, port = str(workers).removeprefix("http://").rstrip("/").partition(":")
    assert services[name]["clusterIP"] == "None"  # its name has the address of every worker
    assert services[name]["ports"][0]["port"] == int(port)
    security = worker.kafka.security.security()
    assert (security.protocol == "SASL_SSL") is (overlay == "production")
    if overlay == "production":
        assert security.username == "tidemark-worker"
        assert retrieval.kafka.security.username == "tidemark-retrieval"
    if overlay == "milvus":
        assert retrieval.retrieval.index == "milvus"
        assert retrieval.retrieval.milvus_prefix == "tidemark_1_"
    assert worker.tracing.enabled is retrieval.tracing.enabled is (overlay == "tracing")
    if overlay == "gpu":
        assert worker.encoder.device == "cuda"


def test_a_setting_that_does_not_exist_is_found(
    of_kind: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = next(containers(of_kind))
    with pytest.raises(Exception, match="there is no such setting"):
        load(container, "[kafka]\nbootstap = 'x'\n", tmp_path, monkeypatch)


def test_composed_settings_exist(
    compose: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = {name: one for name, one in compose["services"].items() if "build" in one}
    assert set(services) == {"topics", "worker", "retrieval"}
    loaded = {}
    for name, service in services.items():
        variables = {
            key: TOKENS if str(value).startswith("${") else str(value)
            for key, value in service["environment"].items()
        }
        container = {"env": [{"name": key, "value": value} for key, value in variables.items()]}
        loaded[name] = load(container, None, tmp_path, monkeypatch)
        assert loaded[name].kafka.bootstrap == "kafka:19092"
    inside = compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert "INSIDE://kafka:19092" in inside
    given = parse(compose["services"]["worker"]["command"])
    (workers,) = loaded["retrieval"].dashboard.workers
    assert str(workers).rstrip("/") == f"http://worker:{given['metrics_port']}"


def test_probes_ask_for_paths_that_are_there(of_kind: Choose) -> None:
    asked: dict[str, set[str]] = {}
    for container in containers(of_kind):
        probes = [
            container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")
        ]
        assert [one["path"] for one in probes] == ["/healthz", "/healthz", "/readyz"]
        assert {one["port"] for one in probes} == {container["ports"][0]["name"]}
        asked[container["name"]] = {one["path"] for one in probes}
    for path in asked["worker"]:
        assert worker_status(path) != 404
    assert worker_status("/livez") == 404
    assert asked["retrieval"] <= asyncio.run(retrieval_paths())


def worker_status(path: str) -> int:
    with HealthServer(Health(), CollectorRegistry(), "127.0.0.1", 0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
    return status


async def retrieval_paths() -> set[str]:
    async with serving(stock=False) as service:
        return set(service.app.openapi()["paths"])


def test_a_starting_worker_is_alive_and_not_ready() -> None:
    """So the startup and liveness probes let it restore for as long as it takes."""
    assert worker_status("/healthz") == 200
    assert worker_status("/readyz") == 503


def test_topics_are_those_that_the_command_creates(
    of_kind: Choose, settings_of: Mapping[str, Settings]
) -> None:
    settings = settings_of["worker"]
    made = {one["metadata"]["name"]: one["spec"] for one in of_kind("KafkaTopic")}
    if not made:  # an overlay on topics that are there
        return
    specs = topic_specs(topic_names(settings))
    assert sorted(made) == sorted(spec.name for spec in specs)
    for spec in specs:
        written = {name: str(value) for name, value in made[spec.name]["config"].items()}
        assert written == dict(spec.config), spec.name
        assert made[spec.name]["partitions"] == settings.topics.partitions
        assert made[spec.name]["replicas"] == settings.topics.replication


def test_workers_are_at_most_as_many_as_partitions(
    overlays: dict[str, tuple[Manifest, ...]],
) -> None:
    kinds: dict[str, list[Manifest]] = {}
    for one in overlays["production"]:
        kinds.setdefault(one["kind"], []).append(one)
    (scaled,) = kinds["ScaledObject"]
    (worker,) = kinds["Deployment"]
    partitions = {one["metadata"]["name"]: one["spec"]["partitions"] for one in kinds["KafkaTopic"]}
    spec = scaled["spec"]
    assert spec["maxReplicaCount"] == partitions["actions"]
    assert spec["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert scaled["metadata"]["namespace"] == worker["metadata"]["namespace"]
    assert "replicas" not in worker["spec"]  # an apply would set the autoscaler's number back
    (config,) = kinds["ConfigMap"]
    variables = {
        x["name"]: x.get("value")
        for x in worker["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    group = tomllib.loads(config["data"]["tidemark.toml"])["kafka"].get("group", "tidemark")
    assert [one["metadata"]["topic"] for one in spec["triggers"]] == ["actions", "items"]
    for trigger in spec["triggers"]:
        assert trigger["metadata"]["topic"] in partitions
        assert trigger["metadata"]["consumerGroup"] == group
        assert trigger["metadata"]["bootstrapServers"] == variables["TIDEMARK_KAFKA__BOOTSTRAP"]
        (authentication,) = kinds["TriggerAuthentication"]
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


def test_users_are_those_that_the_processes_come_as(
    overlays: dict[str, tuple[Manifest, ...]],
) -> None:
    users = {x["metadata"]["name"] for x in overlays["production"] if x["kind"] == "KafkaUser"}
    named = {
        variable["value"]
        for one in overlays["production"]
        if one["kind"] in {"Deployment", "StatefulSet"}
        for variable in one["spec"]["template"]["spec"]["containers"][0]["env"]
        if variable["name"] == "TIDEMARK_KAFKA__SECURITY__USERNAME"
    }
    assert users == named
