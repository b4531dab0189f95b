"""Who may talk to whom: the policies are read as Kubernetes reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from manifest_helpers import Manifest

Choose = Callable[..., list[Manifest]]
Labels = Mapping[str, str]


class Peer(NamedTuple):
    """A pod: its labels and its namespace's, and the numbers of its named ports."""

    labels: Labels
    namespace: Labels
    ports: Mapping[str, int] = {}


def namespace(name: str, **more: str) -> Labels:
    return {"kubernetes.io/metadata.name": name, **more}


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    for one in selector.get("matchExpressions", ()):
        assert one["operator"] == "In"
        if labels.get(one["key"]) not in one["values"]:
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def admits(rule: Mapping[str, Any], side: str, other: Peer, port: int, named: Peer) -> bool:
    """Whether one rule of one direction lets this through; ``named`` is whose port it is."""
    peers, ports = rule.get(side), rule.get("ports")
    of_peer = peers is None or any(
        (
            matches(peer["namespaceSelector"], other.namespace)
            if "namespaceSelector" in peer
            else other.namespace == OURS
        )
        and matches(peer.get("podSelector", {}), other.labels)
        for peer in peers
    )
    of_port = ports is None or any(
        port == (named.ports.get(one["port"]) if isinstance(one["port"], str) else one["port"])
        for one in ports
    )
    return of_peer and of_port


OURS = namespace("tidemark")


def allowed(policies: list[Manifest], source: Peer, target: Peer, port: int) -> bool:
    """Whether a connection is made: what leaves is let out, and what comes is let in."""

    def one_way(pod: Peer, other: Peer, direction: str, side: str) -> bool:
        if pod.namespace != OURS:
            return True  # other namespaces' policies are not ours
        chosen = [
            one["spec"]
            for one in policies
            if direction in one["spec"]["policyTypes"]
            and matches(one["spec"]["podSelector"], pod.labels)
        ]
        if not chosen:
            return True  # as Kubernetes has it
        return any(
            admits(rule, side, other, port, target)
            for spec in chosen
            for rule in spec.get(direction.lower(), ())
        )

    return one_way(source, target, "Egress", "to") and one_way(target, source, "Ingress", "from")


@pytest.fixture
def policies(of_kind: Choose) -> list[Manifest]:
    return of_kind("NetworkPolicy")


@pytest.fixture
def peers(of_kind: Choose) -> dict[str, Peer]:
    """Our pods as they are made, and others that they meet."""
    found = {}
    for workload in of_kind("Deployment", "StatefulSet"):
        template = workload["spec"]["template"]
        (container,) = template["spec"]["containers"]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        found[container["name"]] = Peer(template["metadata"]["labels"], OURS, ports)
    return found | {
        "kafka": Peer({"strimzi.io/cluster": "kafka"}, namespace("kafka")),
        "dns": Peer({"k8s-app": "kube-dns"}, namespace("kube-system")),
        "prometheus": Peer({}, namespace("monitoring")),
        "client": Peer({}, namespace("shop", **{"tidemark.io/client": "true"})),
        "stranger": Peer({}, namespace("elsewhere")),
        "milvus": Peer({}, namespace("milvus")),
        "collector": Peer({}, namespace("observability")),
        "new pod here": Peer({"app": "debug"}, OURS, {"http": 8080, "metrics": 9100}),
    }


NEEDED = [
    ("worker", "kafka", 9092), ("worker", "kafka", 9093),
    ("retrieval", "kafka", 9092), ("retrieval", "kafka", 9093),
    ("worker", "dns", 53), ("retrieval", "dns", 53),
    ("retrieval", "worker", 9100),
    ("prometheus", "worker", 9100), ("prometheus", "retrieval", 8080),
    ("client", "retrieval", 8080),
]  # fmt: skip
REFUSED = [
    ("worker", "stranger", 443), ("retrieval", "stranger", 443),  # nothing is sent out
    ("worker", "kafka", 22), ("worker", "dns", 443),
    ("worker", "retrieval", 8080),
    ("client", "worker", 9100), ("client", "retrieval", 9100),
    ("stranger", "retrieval", 8080), ("stranger", "worker", 9100),
    ("new pod here", "retrieval", 8080), ("new pod here", "worker", 9100),
    ("new pod here", "kafka", 9092), ("client", "new pod here", 8080),
    ("worker", "milvus", 19530),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "port"), NEEDED)
def test_what_is_needed_is_allowed(
    policies: list[Manifest], peers: dict[str, Peer], source: str, target: str, port: int
) -> None:
    assert allowed(policies, peers[source], peers[target], port)


@pytest.mark.parametrize(("source", "target", "port"), REFUSED)
def test_nothing_else_is(
    policies: list[Manifest], peers: dict[str, Peer], source: str, target: str, port: int
) -> None:
    assert not allowed(policies, peers[source], peers[target], port)


@pytest.mark.parametrize(
    ("component", "source", "target", "port"),
    [
        ("milvus", "retrieval", "milvus", 19530),
        ("tracing", "retrieval", "collector", 4318),
        ("tracing", "worker", "collector", 4318),
    ],
)
def test_what_a_component_needs_is_allowed_with_it_alone(
    policies: list[Manifest],
    peers: dict[str, Peer],
    overlay: str,
    component: str,
    source: str,
    target: str,
    port: int,
) -> None:
    reached = allowed(policies, peers[source], peers[target], port)
    assert reached is (overlay == component)


def test_every_pod_of_the_namespace_is_covered(policies: list[Manifest]) -> None:
    everyone = [one["spec"] for one in policies if one["spec"]["podSelector"] == {}]
    denied = [one for one in everyone if not {"ingress", "egress"} & set(one)]
    assert [set(one["policyTypes"]) for one in denied] == [{"Ingress", "Egress"}]


def test_services_lead_to_pods(of_kind: Choose, peers: dict[str, Peer]) -> None:
    for service in of_kind("Service"):
        chosen = [
            name
            for name, peer in peers.items()
            if peer.namespace == OURS and service["spec"]["selector"].items() <= peer.labels.items()
        ]
        assert len(chosen) == 1, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert peers[chosen[0]].ports[port["targetPort"]] == port["port"]
